-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateTable
CREATE TABLE "credentials" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "public_key" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "key_version" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "credentials_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "hosts" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "port" INTEGER NOT NULL,
    "user" TEXT NOT NULL,
    "gate_mode" TEXT NOT NULL,
    "host_key" TEXT NOT NULL,
    "credential_id" UUID NOT NULL,
    "labels" JSONB NOT NULL DEFAULT '{}',
    "state" TEXT NOT NULL DEFAULT 'enrolled',
    "reason" JSONB,
    "kernel_release" TEXT,
    "kernel_build_id" TEXT,
    "arch" TEXT,
    "boot_id" TEXT,
    "mechanism" TEXT,
    "features" JSONB,
    "taint" INTEGER,
    "loaded" JSONB NOT NULL DEFAULT '[]',
    "facts_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "hosts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "patches" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "cves" TEXT[],
    "severity" TEXT NOT NULL,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "patches_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "artefacts" (
    "sha256" TEXT NOT NULL,
    "bytes" BYTEA NOT NULL,
    "size_bytes" INTEGER NOT NULL,

    CONSTRAINT "artefacts_pkey" PRIMARY KEY ("sha256")
);

-- CreateTable
CREATE TABLE "builds" (
    "id" UUID NOT NULL,
    "patch_id" UUID NOT NULL,
    "sha256" TEXT NOT NULL,
    "size_bytes" INTEGER NOT NULL,
    "kernel_release" TEXT NOT NULL,
    "kernel_build_id" TEXT,
    "arch" TEXT NOT NULL,
    "module_name" TEXT NOT NULL,
    "srcversion" TEXT,
    "module_build_id" TEXT,
    "vermagic" TEXT NOT NULL,
    "objects" JSONB NOT NULL,
    "objects_source" TEXT NOT NULL,
    "replace" TEXT NOT NULL,
    "replace_source" TEXT NOT NULL,
    "rollback_risk" JSONB NOT NULL,
    "signature" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "builds_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "rollouts" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "patch_id" UUID NOT NULL,
    "strategy" JSONB NOT NULL,
    "plan" JSONB NOT NULL,
    "state" TEXT NOT NULL,
    "reason" JSONB,
    "generation" INTEGER NOT NULL DEFAULT 0,
    "errors_forgiven" INTEGER NOT NULL DEFAULT 0,
    "wake_at" TIMESTAMPTZ(3),
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "rollouts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "waves" (
    "id" UUID NOT NULL,
    "rollout_id" UUID NOT NULL,
    "index" INTEGER NOT NULL,
    "canary" BOOLEAN NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'pending',
    "hosts" INTEGER NOT NULL,

    CONSTRAINT "waves_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "wave_counts" (
    "wave_id" UUID NOT NULL,
    "state" TEXT NOT NULL,
    "n" INTEGER NOT NULL,

    CONSTRAINT "wave_counts_pkey" PRIMARY KEY ("wave_id","state")
);

-- CreateTable
CREATE TABLE "targets" (
    "id" UUID NOT NULL,
    "rollout_id" UUID NOT NULL,
    "wave_id" UUID,
    "host_id" UUID NOT NULL,
    "host_name" TEXT NOT NULL,
    "build_id" UUID,
    "state" TEXT NOT NULL DEFAULT 'pending',
    "reason" JSONB,
    "generation" INTEGER NOT NULL DEFAULT 0,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "tries" INTEGER NOT NULL DEFAULT 0,
    "looks" INTEGER NOT NULL DEFAULT 0,
    "touched" BOOLEAN NOT NULL DEFAULT false,
    "not_before" TIMESTAMPTZ(3),
    "bake_until" TIMESTAMPTZ(3),
    "stall" JSONB,
    "blockers" JSONB NOT NULL DEFAULT '[]',
    "progress" JSONB,
    "curve" JSONB NOT NULL DEFAULT '[]',
    "attempt_id" UUID,
    "attempt_open" BOOLEAN NOT NULL DEFAULT false,
    "attempt_used" BOOLEAN NOT NULL DEFAULT true,
    "transition_ms" DOUBLE PRECISION,
    "boot_id_before" TEXT,
    "boot_id_after" TEXT,
    "loaded_at" TIMESTAMPTZ(3),
    "started_at" TIMESTAMPTZ(3),
    "settled_at" TIMESTAMPTZ(3),

    CONSTRAINT "targets_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "attempts" (
    "id" UUID NOT NULL,
    "target_id" UUID NOT NULL,
    "host_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'ordered',
    "owner" TEXT,
    "token" BIGINT,
    "step" TEXT,
    "outcome" JSONB,
    "ordered_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "rung_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "attempts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "leases" (
    "host_id" UUID NOT NULL,
    "owner" TEXT NOT NULL,
    "token" BIGINT NOT NULL,
    "attempt_id" UUID,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "leases_pkey" PRIMARY KEY ("host_id")
);

-- CreateTable
CREATE TABLE "events" (
    "seq" BIGINT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "principal" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "rollout_id" UUID,
    "host_id" UUID,
    "target_id" UUID,
    "data" JSONB NOT NULL,
    "prev_hash" BYTEA NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "events_pkey" PRIMARY KEY ("seq")
);

-- CreateTable
CREATE TABLE "tokens" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_used_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "tokens_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "settings" (
    "key" TEXT NOT NULL,
    "value" JSONB NOT NULL,

    CONSTRAINT "settings_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "state_edges" (
    "entity" TEXT NOT NULL,
    "from_state" TEXT NOT NULL,
    "to_state" TEXT NOT NULL,

    CONSTRAINT "state_edges_pkey" PRIMARY KEY ("entity","from_state","to_state")
);

-- CreateIndex
CREATE UNIQUE INDEX "credentials_name_key" ON "credentials"("name");

-- CreateIndex
CREATE UNIQUE INDEX "hosts_name_key" ON "hosts"("name");

-- CreateIndex
CREATE INDEX "hosts_kernel_release_idx" ON "hosts"("kernel_release");

-- CreateIndex
CREATE UNIQUE INDEX "patches_name_key" ON "patches"("name");

-- CreateIndex
CREATE INDEX "builds_patch_id_idx" ON "builds"("patch_id");

-- CreateIndex
CREATE UNIQUE INDEX "rollouts_name_key" ON "rollouts"("name");

-- CreateIndex
CREATE UNIQUE INDEX "waves_rollout_id_index_key" ON "waves"("rollout_id", "index");

-- CreateIndex
CREATE INDEX "targets_rollout_id_host_name_idx" ON "targets"("rollout_id", "host_name");

-- CreateIndex
CREATE INDEX "targets_rollout_id_state_host_name_idx" ON "targets"("rollout_id", "state", "host_name");

-- CreateIndex
CREATE INDEX "targets_host_id_idx" ON "targets"("host_id");

-- CreateIndex
CREATE UNIQUE INDEX "targets_rollout_id_host_id_key" ON "targets"("rollout_id", "host_id");

-- CreateIndex
CREATE INDEX "attempts_target_id_idx" ON "attempts"("target_id");

-- CreateIndex
CREATE INDEX "leases_owner_idx" ON "leases"("owner");

-- CreateIndex
CREATE UNIQUE INDEX "events_hash_key" ON "events"("hash");

-- CreateIndex
CREATE INDEX "events_rollout_id_seq_idx" ON "events"("rollout_id", "seq");

-- CreateIndex
CREATE INDEX "events_host_id_seq_idx" ON "events"("host_id", "seq");

-- CreateIndex
CREATE INDEX "events_kind_seq_idx" ON "events"("kind", "seq");

-- CreateIndex
CREATE UNIQUE INDEX "tokens_name_key" ON "tokens"("name");

-- CreateIndex
CREATE UNIQUE INDEX "tokens_hash_key" ON "tokens"("hash");

-- AddForeignKey
ALTER TABLE "hosts" ADD CONSTRAINT "hosts_credential_id_fkey" FOREIGN KEY ("credential_id") REFERENCES "credentials"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "builds" ADD CONSTRAINT "builds_patch_id_fkey" FOREIGN KEY ("patch_id") REFERENCES "patches"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "builds" ADD CONSTRAINT "builds_sha256_fkey" FOREIGN KEY ("sha256") REFERENCES "artefacts"("sha256") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "rollouts" ADD CONSTRAINT "rollouts_patch_id_fkey" FOREIGN KEY ("patch_id") REFERENCES "patches"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "waves" ADD CONSTRAINT "waves_rollout_id_fkey" FOREIGN KEY ("rollout_id") REFERENCES "rollouts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "wave_counts" ADD CONSTRAINT "wave_counts_wave_id_fkey" FOREIGN KEY ("wave_id") REFERENCES "waves"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "targets" ADD CONSTRAINT "targets_rollout_id_fkey" FOREIGN KEY ("rollout_id") REFERENCES "rollouts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "targets" ADD CONSTRAINT "targets_wave_id_fkey" FOREIGN KEY ("wave_id") REFERENCES "waves"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "targets" ADD CONSTRAINT "targets_host_id_fkey" FOREIGN KEY ("host_id") REFERENCES "hosts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "targets" ADD CONSTRAINT "targets_build_id_fkey" FOREIGN KEY ("build_id") REFERENCES "builds"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_target_id_fkey" FOREIGN KEY ("target_id") REFERENCES "targets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_host_id_fkey" FOREIGN KEY ("host_id") REFERENCES "hosts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "leases" ADD CONSTRAINT "leases_host_id_fkey" FOREIGN KEY ("host_id") REFERENCES "hosts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;


