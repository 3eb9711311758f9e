/**
 * Loss of power for a cluster of real processes. SIGKILL alone takes away nothing that was written: the kernel has it. Here what was written and not made durable
 * is gone as well: all of it, or what the disk has not got to by itself.
 *
 * Made before the cluster is; `close()` ends it.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killBelow, processesBelow } from '../cluster/processes-below.ts'
import { waitFor } from '../cluster/wait-for.ts'
import { bytesOf, isThere, type Told } from './told-durable.ts'
import { UNDO_VARIABLE, UndoStore } from './undo-store.ts'

const script = new URL('../../dist/power/watch-files-main.js', import.meta.url).href
const GONE_MS = 10_000
/** Memory where there is such a folder: what is noted has to be quick, and need not last. */
const MEMORY = '/dev/shm'

export interface Loss {
  readonly processes: number
  /** That have lost something. */
  readonly files: number
  readonly liars: readonly Told[]
}

export class Power {
  readonly #store: UndoStore
  readonly #optionsBefore = process.env['NODE_OPTIONS']

  /** Processes that are started from now on are watched. */
  constructor() {
    this.#store = new UndoStore(mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'mirabelle-undo-')))
    process.env[UNDO_VARIABLE] = this.#store.dir
    process.env['NODE_OPTIONS'] = `${this.#optionsBefore ?? ''} --import=${script}`.trim()
    process.once('exit', () => this.close())
  }

  /**
   * SIGKILL to everything that runs in the folder of a host, or of all of them; then its files are what was durable, and the first `kept` of the writes to each
   * since. Resolves with what that was, and with those of `told` that lack what they had said is durable.
   */
  async lose(dir: string, kept?: (writes: number) => number, told: readonly Told[] = []): Promise<Loss> {
    const all = new Set<number>()
    await waitFor(
      'everything that has lost its power to be gone',
      () => {
        // What was just being started by what is killed is there in the next look.
        for (const pid of killBelow(dir)) all.add(pid)
        return processesBelow(dir).length === 0
      },
      GONE_MS,
    )
    const before = told.map((one) => bytesOf(one))
    const files = this.#store.lose(dir, kept)
    const liars = told.filter((one, i) => {
      const bytes = before[i]
      return bytes !== undefined && !isThere(one, bytes)
    })
    return { processes: all.size, files, liars }
  }

  close(): void {
    delete process.env[UNDO_VARIABLE]
    if (this.#optionsBefore === undefined) delete process.env['NODE_OPTIONS']
    else process.env['NODE_OPTIONS'] = this.#optionsBefore
    rmSync(this.#store.dir, { recursive: true, force: true })
  }
}
