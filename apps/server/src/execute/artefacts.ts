// Modules' bytes, kept while they are in use: a wave sends the same few builds to many hosts.
import { createHash } from 'node:crypto'
import type { Store } from '@uptide/store'

/** A rollout has a build per kernel: a dozen kernels of 5 MB each, and room. */
const bytesMax = 128 * 1024 * 1024

export class Artefacts {
  private readonly kept = new Map<string, Promise<Uint8Array | null>>()
  private readonly sizes = new Map<string, number>()

  constructor(private readonly store: Pick<Store, 'loadArtefact'>) {}

  /** The bytes whose SHA-256 this is, checked; null when there are none, or others. */
  async bytes(sha256: string): Promise<Uint8Array | null> {
    const known = this.kept.get(sha256)
    const loading = known ?? this.load(sha256)
    // Most recently used last.
    this.kept.delete(sha256)
    this.kept.set(sha256, loading)
    return loading
  }

  private async load(sha256: string): Promise<Uint8Array | null> {
    const bytes = await this.store.loadArtefact(sha256).catch((error: unknown) => { this.kept.delete(sha256); throw error })
    if (bytes === null || createHash('sha256').update(bytes).digest('hex') !== sha256) { this.kept.delete(sha256); return null }
    this.sizes.set(sha256, bytes.byteLength)
    this.trim(sha256)
    return bytes
  }

  private trim(newest: string): void {
    let total = [...this.sizes.values()].reduce((sum, size) => sum + size, 0)
    for (const sha256 of this.kept.keys()) {
      if (total <= bytesMax) return
      if (sha256 === newest) continue
      total -= this.sizes.get(sha256) ?? 0
      this.kept.delete(sha256)
      this.sizes.delete(sha256)
    }
  }
}
