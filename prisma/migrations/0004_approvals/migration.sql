-- Approvals: distinct people, never one's own, of the very plan that was looked at. Kept here, so that no other door leads past them.
ALTER TABLE "rollouts" ADD COLUMN "plan_sha256" TEXT NOT NULL DEFAULT '';

CREATE TABLE "approvals" (
    "id" UUID NOT NULL,
    "rollout_id" UUID NOT NULL,
    "principal" TEXT NOT NULL,
    "verdict" TEXT NOT NULL,
    "plan_sha256" TEXT NOT NULL,
    "says" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "voided_at" TIMESTAMPTZ(3),

    CONSTRAINT "approvals_pkey" PRIMARY KEY ("id")
);
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_rollout_id_fkey" FOREIGN KEY ("rollout_id") REFERENCES "rollouts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
CREATE INDEX "approvals_rollout_id_idx" ON "approvals"("rollout_id");
CREATE UNIQUE INDEX approvals_one_each ON approvals (rollout_id, principal) WHERE voided_at IS NULL;
ALTER TABLE approvals ADD CONSTRAINT approvals_known_verdict CHECK (verdict IN ('approved', 'rejected'));
ALTER TABLE approvals ADD CONSTRAINT approvals_say_why CHECK (length(btrim(says)) >= 3);
ALTER TABLE approvals ADD CONSTRAINT approvals_by_people CHECK (principal LIKE 'token:%');

CREATE FUNCTION uptide_approvals_needed(strategy jsonb) RETURNS int LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce((strategy->'approvals'->>'needed')::int, 0)
$$;

-- Of the plan as it stands, by others than its author, and not too old.
CREATE FUNCTION uptide_approvals_valid(rollout uuid, author text, plan text) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT count(DISTINCT principal)::int FROM approvals
  WHERE rollout_id = rollout AND verdict = 'approved' AND voided_at IS NULL AND expires_at > now() AND plan_sha256 = plan AND principal <> author
$$;

CREATE FUNCTION uptide_guard_approval() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  IF TG_OP = 'DELETE' THEN RAISE EXCEPTION 'an approval is never deleted' USING ERRCODE = 'UP002'; END IF;
  IF TG_OP = 'UPDATE' THEN
    IF OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL OR (to_jsonb(NEW) - 'voided_at') <> (to_jsonb(OLD) - 'voided_at') THEN
      RAISE EXCEPTION 'an approval can only be voided, once' USING ERRCODE = 'UP002';
    END IF;
    RETURN NEW;
  END IF;
  SELECT state, created_by, plan_sha256 INTO r FROM rollouts WHERE id = NEW.rollout_id FOR UPDATE;
  IF r.created_by = NEW.principal THEN RAISE EXCEPTION 'nobody approves a rollout of their own' USING ERRCODE = 'UP002'; END IF;
  IF r.state <> 'awaiting-approval' THEN RAISE EXCEPTION 'a rollout that is % waits for no approval', r.state USING ERRCODE = 'UP002'; END IF;
  IF r.plan_sha256 <> NEW.plan_sha256 THEN RAISE EXCEPTION 'the plan is another one than was approved' USING ERRCODE = 'UP002'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_guard BEFORE INSERT OR UPDATE OR DELETE ON approvals FOR EACH ROW EXECUTE FUNCTION uptide_guard_approval();

-- Whoever changes a plan or a strategy takes its approvals away; and nothing is scheduled without as many as its strategy asks for.
CREATE FUNCTION uptide_guard_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.strategy IS DISTINCT FROM OLD.strategy AND OLD.state NOT IN ('draft', 'awaiting-approval') THEN
      RAISE EXCEPTION 'the strategy of a rollout that is % is not changed any more', OLD.state USING ERRCODE = 'UP002';
    END IF;
    IF NEW.strategy IS DISTINCT FROM OLD.strategy OR NEW.plan_sha256 <> OLD.plan_sha256 THEN
      UPDATE approvals SET voided_at = now() WHERE rollout_id = NEW.id AND voided_at IS NULL;
    END IF;
  END IF;
  IF NEW.state NOT IN ('draft', 'awaiting-approval', 'cancelled') AND (TG_OP = 'INSERT' OR OLD.state IN ('draft', 'awaiting-approval'))
     AND uptide_approvals_valid(NEW.id, NEW.created_by, NEW.plan_sha256) < uptide_approvals_needed(NEW.strategy) THEN
    RAISE EXCEPTION 'this rollout needs % approvals by others than its author', uptide_approvals_needed(NEW.strategy) USING ERRCODE = 'UP002';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER rollouts_schedule BEFORE INSERT OR UPDATE ON rollouts FOR EACH ROW EXECUTE FUNCTION uptide_guard_schedule();
