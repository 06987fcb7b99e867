-- A rollout that goes on outside its windows: one person says why, another confirms, and it ends by itself.
CREATE TABLE "overrides" (
    "id" UUID NOT NULL,
    "rollout_id" UUID NOT NULL,
    "asked_by" TEXT NOT NULL,
    "says" TEXT NOT NULL,
    "asked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lasts_ms" INTEGER NOT NULL,
    "confirmed_by" TEXT,
    "confirmed_at" TIMESTAMPTZ(3),
    "until" TIMESTAMPTZ(3),

    CONSTRAINT "overrides_pkey" PRIMARY KEY ("id")
);
ALTER TABLE "overrides" ADD CONSTRAINT "overrides_rollout_id_fkey" FOREIGN KEY ("rollout_id") REFERENCES "rollouts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
CREATE INDEX "overrides_rollout_id_idx" ON "overrides"("rollout_id");
-- One question at a time: a second person knows what is confirmed.
CREATE UNIQUE INDEX overrides_one_open ON overrides (rollout_id) WHERE confirmed_at IS NULL;
ALTER TABLE overrides ADD CONSTRAINT overrides_say_why CHECK (length(btrim(says)) >= 3);
ALTER TABLE overrides ADD CONSTRAINT overrides_by_two_people CHECK (
  asked_by LIKE 'token:%' AND (
    (confirmed_by IS NULL AND confirmed_at IS NULL AND until IS NULL)
    OR (confirmed_by LIKE 'token:%' AND confirmed_by <> asked_by AND confirmed_at IS NOT NULL AND until IS NOT NULL)));
ALTER TABLE overrides ADD CONSTRAINT overrides_end CHECK (lasts_ms BETWEEN 60000 AND 86400000);
