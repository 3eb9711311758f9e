/** Damage to what processes of a test cluster receive from each other. Made before the cluster is; `close()` ends it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The folder in which a process finds what is wanted of it. */
export const DAMAGE_VARIABLE = 'MIRABELLE_TEST_DAMAGE'

const script = new URL('../../dist/damage/damage-bytes-main.js', import.meta.url).href

export interface Damage {
  /** Of the pieces that are read from a connection, those in which a bit is turned: 0 to 1. */
  readonly share: number
  /** What comes in at this port is left alone: clients of PostgreSQL have no checksums. */
  readonly exceptPort: number
}

export class DamagedBytes {
  readonly #dir = mkdtempSync(join(tmpdir(), 'mirabelle-damage-'))
  readonly #optionsBefore = process.env['NODE_OPTIONS']

  /** Processes that are started from now on can be told. */
  constructor() {
    process.env[DAMAGE_VARIABLE] = this.#dir
    process.env['NODE_OPTIONS'] = `${this.#optionsBefore ?? ''} --import=${script}`.trim()
    process.once('exit', () => this.close())
  }

  begin(pid: number, damage: Damage): void {
    writeFileSync(join(this.#dir, String(pid)), JSON.stringify(damage))
  }

  end(pid: number): void {
    rmSync(join(this.#dir, String(pid)), { force: true })
  }

  close(): void {
    delete process.env[DAMAGE_VARIABLE]
    if (this.#optionsBefore === undefined) delete process.env['NODE_OPTIONS']
    else process.env['NODE_OPTIONS'] = this.#optionsBefore
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
