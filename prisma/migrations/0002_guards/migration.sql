-- What Prisma's schema cannot say: states and their edges, the append-only log, counts, one attempt per host.

-- Edges of the state tables in libs/rollout/src/states.ts (a spec compares the two).
INSERT INTO "state_edges" ("entity", "from_state", "to_state") VALUES
  ('target', 'pending', 'checking'),
  ('target', 'pending', 'skipped'),
  ('target', 'pending', 'cancelled'),
  ('target', 'pending', 'reverting'),
  ('target', 'checking', 'staging'),
  ('target', 'checking', 'patched'),
  ('target', 'checking', 'transitioning'),
  ('target', 'checking', 'pending'),
  ('target', 'checking', 'skipped'),
  ('target', 'checking', 'failed'),
  ('target', 'checking', 'lost'),
  ('target', 'checking', 'reverting'),
  ('target', 'checking', 'cancelled'),
  ('target', 'staging', 'loading'),
  ('target', 'staging', 'transitioning'),
  ('target', 'staging', 'patched'),
  ('target', 'staging', 'pending'),
  ('target', 'staging', 'failed'),
  ('target', 'staging', 'lost'),
  ('target', 'staging', 'reverting'),
  ('target', 'staging', 'cancelled'),
  ('target', 'loading', 'transitioning'),
  ('target', 'loading', 'patched'),
  ('target', 'loading', 'pending'),
  ('target', 'loading', 'failed'),
  ('target', 'loading', 'lost'),
  ('target', 'loading', 'reverting'),
  ('target', 'transitioning', 'stalled'),
  ('target', 'transitioning', 'patched'),
  ('target', 'transitioning', 'pending'),
  ('target', 'transitioning', 'failed'),
  ('target', 'transitioning', 'lost'),
  ('target', 'transitioning', 'reverting'),
  ('target', 'stalled', 'transitioning'),
  ('target', 'stalled', 'patched'),
  ('target', 'stalled', 'failed'),
  ('target', 'stalled', 'lost'),
  ('target', 'stalled', 'reverting'),
  ('target', 'stalled', 'pending'),
  ('target', 'patched', 'baking'),
  ('target', 'patched', 'failed'),
  ('target', 'patched', 'lost'),
  ('target', 'patched', 'reverting'),
  ('target', 'baking', 'succeeded'),
  ('target', 'baking', 'failed'),
  ('target', 'baking', 'lost'),
  ('target', 'baking', 'reverting'),
  ('target', 'succeeded', 'reverting'),
  ('target', 'reverting', 'reverted'),
  ('target', 'reverting', 'failed'),
  ('target', 'reverting', 'lost'),
  ('target', 'reverting', 'patched'),
  ('target', 'failed', 'reverting'),
  ('target', 'failed', 'pending'),
  ('target', 'lost', 'pending'),
  ('target', 'lost', 'transitioning'),
  ('target', 'lost', 'stalled'),
  ('target', 'lost', 'patched'),
  ('target', 'lost', 'baking'),
  ('target', 'lost', 'reverting'),
  ('target', 'lost', 'failed'),
  ('target', 'skipped', 'pending'),
  ('target', 'cancelled', 'reverting'),
  ('rollout', 'draft', 'awaiting-approval'),
  ('rollout', 'draft', 'scheduled'),
  ('rollout', 'draft', 'cancelled'),
  ('rollout', 'awaiting-approval', 'scheduled'),
  ('rollout', 'awaiting-approval', 'cancelled'),
  ('rollout', 'scheduled', 'running'),
  ('rollout', 'scheduled', 'held'),
  ('rollout', 'scheduled', 'cancelled'),
  ('rollout', 'running', 'held'),
  ('rollout', 'running', 'reverting'),
  ('rollout', 'running', 'succeeded'),
  ('rollout', 'running', 'failed'),
  ('rollout', 'running', 'cancelled'),
  ('rollout', 'held', 'running'),
  ('rollout', 'held', 'reverting'),
  ('rollout', 'held', 'failed'),
  ('rollout', 'held', 'cancelled'),
  ('rollout', 'reverting', 'reverted'),
  ('rollout', 'reverting', 'failed'),
  ('rollout', 'reverting', 'succeeded'),
  ('rollout', 'reverting', 'held'),
  ('rollout', 'succeeded', 'reverting'),
  ('rollout', 'failed', 'reverting'),
  ('rollout', 'cancelled', 'reverting'),
  ('wave', 'pending', 'running'),
  ('wave', 'running', 'baking'),
  ('wave', 'running', 'passed'),
  ('wave', 'running', 'failed'),
  ('wave', 'baking', 'running'),
  ('wave', 'baking', 'passed'),
  ('wave', 'baking', 'failed'),
  ('wave', 'failed', 'running'),
  ('attempt', 'ordered', 'running'),
  ('attempt', 'ordered', 'abandoned'),
  ('attempt', 'running', 'done'),
  ('attempt', 'running', 'abandoned');

CREATE FUNCTION uptide_refuse_illegal_edge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state IS DISTINCT FROM OLD.state
     AND NOT EXISTS (SELECT 1 FROM state_edges WHERE entity = TG_ARGV[0] AND from_state = OLD.state AND to_state = NEW.state) THEN
    RAISE EXCEPTION 'the % may not move from % to %', TG_ARGV[0], OLD.state, NEW.state
      USING ERRCODE = 'UP001', DETAIL = format('%s %s', TG_ARGV[0], OLD.id);
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER rollouts_edges BEFORE UPDATE OF state ON rollouts FOR EACH ROW EXECUTE FUNCTION uptide_refuse_illegal_edge('rollout');
CREATE TRIGGER waves_edges BEFORE UPDATE OF state ON waves FOR EACH ROW EXECUTE FUNCTION uptide_refuse_illegal_edge('wave');
CREATE TRIGGER targets_edges BEFORE UPDATE OF state ON targets FOR EACH ROW EXECUTE FUNCTION uptide_refuse_illegal_edge('target');
CREATE TRIGGER attempts_edges BEFORE UPDATE OF state ON attempts FOR EACH ROW EXECUTE FUNCTION uptide_refuse_illegal_edge('attempt');

-- A new row starts in a state that the tables know.
CREATE FUNCTION uptide_refuse_unknown_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM state_edges WHERE entity = TG_ARGV[0] AND (from_state = NEW.state OR to_state = NEW.state)) THEN
    RAISE EXCEPTION 'no % has the state %', TG_ARGV[0], NEW.state USING ERRCODE = 'UP001';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER rollouts_states BEFORE INSERT ON rollouts FOR EACH ROW EXECUTE FUNCTION uptide_refuse_unknown_state('rollout');
CREATE TRIGGER waves_states BEFORE INSERT ON waves FOR EACH ROW EXECUTE FUNCTION uptide_refuse_unknown_state('wave');
CREATE TRIGGER attempts_states BEFORE INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION uptide_refuse_unknown_state('attempt');
-- Targets come by the hundred thousand: a check costs less than a trigger.
ALTER TABLE targets ADD CONSTRAINT targets_known_state CHECK (state IN
  ('pending', 'checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'succeeded', 'reverting', 'reverted', 'failed', 'lost', 'skipped', 'cancelled'));

-- The log is written once.
CREATE FUNCTION uptide_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'events are append-only: % is refused', TG_OP USING ERRCODE = 'UP002';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION uptide_append_only();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION uptide_append_only();

-- The feed wakes by these and reads the table: what is sent is only "look".
CREATE FUNCTION uptide_notify_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('uptide_events', (SELECT max(seq) FROM added)::text);
  RETURN NULL;
END $$;
CREATE TRIGGER events_notify AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION uptide_notify_events();

-- One open attempt for each host, whatever the number of rollouts, schedulers and workers.
CREATE UNIQUE INDEX attempts_one_open_per_host ON attempts (host_id) WHERE state IN ('ordered', 'running');
CREATE INDEX attempts_open_by_owner ON attempts (owner) WHERE state = 'running';

-- What a view reads: bounded by what is in flight, whatever the size of the rollout.
CREATE INDEX targets_active ON targets (rollout_id) WHERE attempt_open OR NOT attempt_used
  OR state IN ('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost');
CREATE INDEX targets_pending ON targets (wave_id, not_before NULLS FIRST, host_name) WHERE state = 'pending' AND NOT attempt_open;
CREATE INDEX targets_revertible ON targets (rollout_id, host_name) WHERE touched AND state IN ('succeeded', 'failed', 'cancelled');
CREATE INDEX targets_unreverted ON targets (rollout_id) WHERE touched AND state = 'failed' AND (reason->>'code') = 'REVERT_FAILED';
CREATE INDEX rollouts_live ON rollouts (id) WHERE state IN ('scheduled', 'running', 'held', 'reverting');

-- Counts per wave and state, kept by statement so that a group commit costs one upsert for each state it met.
CREATE FUNCTION uptide_count_targets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO wave_counts AS c (wave_id, state, n)
      SELECT wave_id, state, count(*) FROM added WHERE wave_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
      ON CONFLICT (wave_id, state) DO UPDATE SET n = c.n + EXCLUDED.n;
  ELSE
    -- Ordered, so that two statements lock the rows in the same order.
    INSERT INTO wave_counts AS c (wave_id, state, n)
      SELECT wave_id, state, sum(d) FROM (
        SELECT wave_id, state, 1 AS d FROM added WHERE wave_id IS NOT NULL
        UNION ALL
        SELECT wave_id, state, -1 FROM gone WHERE wave_id IS NOT NULL
      ) changes GROUP BY 1, 2 HAVING sum(d) <> 0 ORDER BY 1, 2
      ON CONFLICT (wave_id, state) DO UPDATE SET n = c.n + EXCLUDED.n;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER targets_count_insert AFTER INSERT ON targets REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION uptide_count_targets();
CREATE TRIGGER targets_count_update AFTER UPDATE ON targets REFERENCING OLD TABLE AS gone NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION uptide_count_targets();

CREATE UNIQUE INDEX builds_one_per_kernel ON builds (patch_id, kernel_release, arch, coalesce(kernel_build_id, ''));
ALTER TABLE leases ADD CONSTRAINT leases_token_positive CHECK (token > 0);
ALTER TABLE hosts ADD CONSTRAINT hosts_known_state CHECK (state IN ('enrolled', 'reachable', 'unreachable', 'quarantined'));
