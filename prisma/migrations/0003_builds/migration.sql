-- What is known of each build: where it was proven, where it is stopped, where its artefact is halted; and what hosts share.

-- Counts by wave, build and state: a build is a risk of its own, so the planner asks for it by itself.
DROP TRIGGER targets_count_insert ON targets;
DROP TRIGGER targets_count_update ON targets;
DELETE FROM wave_counts;
ALTER TABLE "wave_counts" DROP CONSTRAINT "wave_counts_pkey";
ALTER TABLE "wave_counts" ADD COLUMN "build_id" UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE "wave_counts" ADD CONSTRAINT "wave_counts_pkey" PRIMARY KEY ("wave_id", "build_id", "state");

CREATE OR REPLACE FUNCTION uptide_count_targets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO wave_counts AS c (wave_id, build_id, state, n)
      SELECT wave_id, coalesce(build_id, '00000000-0000-0000-0000-000000000000'), state, count(*) FROM added WHERE wave_id IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
      ON CONFLICT (wave_id, build_id, state) DO UPDATE SET n = c.n + EXCLUDED.n;
  ELSE
    -- Ordered, so that two statements lock the rows in the same order.
    INSERT INTO wave_counts AS c (wave_id, build_id, state, n)
      SELECT wave_id, coalesce(build_id, '00000000-0000-0000-0000-000000000000'), state, sum(d) FROM (
        SELECT wave_id, build_id, state, 1 AS d FROM added WHERE wave_id IS NOT NULL
        UNION ALL
        SELECT wave_id, build_id, state, -1 FROM gone WHERE wave_id IS NOT NULL
      ) changes GROUP BY 1, 2, 3 HAVING sum(d) <> 0 ORDER BY 1, 2, 3
      ON CONFLICT (wave_id, build_id, state) DO UPDATE SET n = c.n + EXCLUDED.n;
  END IF;
  RETURN NULL;
END $$;
INSERT INTO wave_counts (wave_id, build_id, state, n)
  SELECT wave_id, coalesce(build_id, '00000000-0000-0000-0000-000000000000'), state, count(*) FROM targets WHERE wave_id IS NOT NULL GROUP BY 1, 2, 3;
CREATE TRIGGER targets_count_insert AFTER INSERT ON targets REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION uptide_count_targets();
CREATE TRIGGER targets_count_update AFTER UPDATE ON targets REFERENCING OLD TABLE AS gone NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION uptide_count_targets();

-- The first success of a build anywhere; until then one host of the fleet tries it.
ALTER TABLE "builds" ADD COLUMN "proven_at" TIMESTAMPTZ(3);
UPDATE builds b SET proven_at = now() WHERE EXISTS (SELECT 1 FROM targets t WHERE t.build_id = b.id AND t.state = 'succeeded');

-- A rollout's builds: what a person has accepted of each, and why it is stopped.
CREATE TABLE "rollout_builds" (
    "rollout_id" UUID NOT NULL,
    "build_id" UUID NOT NULL,
    "forgiven" INTEGER NOT NULL DEFAULT 0,
    "stopped" JSONB,
    "stopped_at" TIMESTAMPTZ(3),

    CONSTRAINT "rollout_builds_pkey" PRIMARY KEY ("rollout_id", "build_id")
);
ALTER TABLE "rollout_builds" ADD CONSTRAINT "rollout_builds_rollout_id_fkey" FOREIGN KEY ("rollout_id") REFERENCES "rollouts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "rollout_builds" ADD CONSTRAINT "rollout_builds_build_id_fkey" FOREIGN KEY ("build_id") REFERENCES "builds"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
-- What was accepted of a whole rollout so far was accepted of each of its builds.
INSERT INTO rollout_builds (rollout_id, build_id, forgiven)
  SELECT t.rollout_id, t.build_id, CASE WHEN r.errors_forgiven > 0 THEN count(*) FILTER (WHERE t.state IN ('failed', 'reverted', 'reverting', 'lost')) ELSE 0 END
  FROM targets t JOIN rollouts r ON r.id = t.rollout_id WHERE t.build_id IS NOT NULL GROUP BY t.rollout_id, t.build_id, r.errors_forgiven;
ALTER TABLE "rollouts" DROP COLUMN "errors_forgiven";

-- An artefact that harmed a host starts nowhere until a person says why it may again (DESIGN §3, law 6).
CREATE TABLE "halts" (
    "id" UUID NOT NULL,
    "sha256" TEXT NOT NULL,
    "build_id" UUID NOT NULL,
    "rollout_id" UUID NOT NULL,
    "target_id" UUID NOT NULL,
    "host_name" TEXT NOT NULL,
    "reason" JSONB NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "released_at" TIMESTAMPTZ(3),
    "released_by" TEXT,
    "released_says" TEXT,

    CONSTRAINT "halts_pkey" PRIMARY KEY ("id")
);
ALTER TABLE "halts" ADD CONSTRAINT "halts_sha256_fkey" FOREIGN KEY ("sha256") REFERENCES "artefacts"("sha256") ON DELETE RESTRICT ON UPDATE CASCADE;
CREATE UNIQUE INDEX halts_one_open_per_artefact ON halts (sha256) WHERE released_at IS NULL;
ALTER TABLE halts ADD CONSTRAINT halts_released_by_a_person CHECK (
  (released_at IS NULL AND released_by IS NULL AND released_says IS NULL)
  OR (released_at IS NOT NULL AND released_by LIKE 'token:%' AND length(btrim(released_says)) >= 3));

-- What a host shares with others: at most so many of a group, and never two of a quorum, are in flight at once.
ALTER TABLE "targets" ADD COLUMN "groups" TEXT[] DEFAULT ARRAY[]::TEXT[];
ALTER TABLE "targets" ADD COLUMN "quorum" TEXT;

-- Hosts on their way with a build or of a quorum, in whichever rollout.
CREATE INDEX targets_started_by_build ON targets (build_id) WHERE attempt_open OR state IN ('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost');
CREATE INDEX targets_started_by_quorum ON targets (quorum) WHERE quorum IS NOT NULL
  AND (attempt_open OR state IN ('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost'));
-- The next hosts of a build, when some builds of a wave may start and others may not.
CREATE INDEX targets_pending_by_build ON targets (wave_id, build_id, not_before NULLS FIRST, host_name) WHERE state = 'pending' AND NOT attempt_open;
