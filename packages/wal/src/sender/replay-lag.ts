/** Times how long WAL takes until it is replayed: a few samples of (LSN, time sent), as PostgreSQL's lag tracker keeps them. */
import type { Lsn } from '@mirabelle/messages'

const MAX_SAMPLES = 64

export class ReplayLag {
  #samples: { lsn: Lsn; atMs: number }[] = []
  /** ms; null when nothing was measured. */
  lagMs: number | null = null

  /** WAL up to `lsn` was sent now. When the samples are full every second one is given up. */
  sent(lsn: Lsn, nowMs: number): void {
    if (this.#samples.length >= MAX_SAMPLES)
      this.#samples = this.#samples.filter((_, index) => index % 2 === 1)
    this.#samples.push({ lsn, atMs: nowMs })
  }

  /** The mirror has replayed up to `lsn`. */
  replayed(lsn: Lsn, nowMs: number): void {
    let passed = 0
    for (const sample of this.#samples) {
      if (sample.lsn > lsn) break
      this.lagMs = nowMs - sample.atMs
      passed++
    }
    this.#samples.splice(0, passed)
  }
}
