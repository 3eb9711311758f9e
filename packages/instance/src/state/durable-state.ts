/**
 * What an instance must not forget, in small files below `D/state`: the epoch it promised, whether commits wait for the mirror, the
 * mark of a stale standby, the role it acts in, its last assignment.
 *
 * Opened by the instance actor at its start. Promise: a setter resolves after the new value is durable, and only then does the
 * getter show it; whoever acts on a value or tells it to a peer awaits the setter first. Writes of one file run one after the other; who needs
 * two of them in an order awaits the first.
 */
import { isAssignment, MirabelleError, type Assignment, type Epoch, type Role } from '@mirabelle/messages'
import { faults, type Disk } from '@mirabelle/runtime'
import { readJson } from './json-file.ts'
import { assignmentFile, stateDir } from './layout.ts'

interface Values {
  /** Highest epoch promised (I4). */
  epoch: Epoch
  /** Commits wait for the mirror. null = never decided. */
  syncRep: boolean | null
  /** The last coordinator went on without its standby. */
  standbyStale: boolean
  /** The role that the data directory is in: `m` until a promotion is complete. null before the first start. */
  role: Role | null
  /** A copy of the base has begun and is not complete: the folder is no copy of anything. */
  copying: 'differential' | 'full' | null
}

const isEpoch = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
const checks: { readonly [K in keyof Values]: (value: unknown) => boolean } = {
  epoch: isEpoch,
  syncRep: (value) => value === null || typeof value === 'boolean',
  standbyStale: (value) => typeof value === 'boolean',
  role: (value) => value === null || value === 'p' || value === 'm',
  copying: (value) => value === null || value === 'differential' || value === 'full',
}
const files: { readonly [K in keyof Values]: string } = {
  epoch: 'epoch.json',
  syncRep: 'sync-rep.json',
  standbyStale: 'standby-stale.json',
  role: 'role.json',
  copying: 'copying.json',
}

export class DurableState {
  readonly #disk: Disk
  readonly #datadir: string
  readonly #values: Values = { epoch: 0, syncRep: null, standbyStale: false, role: null, copying: null }
  /** A write of them failed: the file may hold either value. */
  readonly #unsure = new Set<keyof Values>()
  #assignment: Assignment | undefined
  readonly #writes = new Map<keyof Values | 'assignment', Promise<void>>()

  private constructor(disk: Disk, datadir: string) {
    this.#disk = disk
    this.#datadir = datadir
  }

  /** Reads all files. Rejects with `datadir.broken` when one is there but cannot be understood. */
  static async open(disk: Disk, datadir: string): Promise<DurableState> {
    const state = new DurableState(disk, datadir)
    await disk.makeDir(stateDir(datadir))
    for (const key of Object.keys(files) as (keyof Values)[]) {
      const path = state.#path(key)
      const file = await readJson(disk, path)
      if (file === undefined) continue
      const value = (file as { value?: unknown } | null)?.value
      if (!checks[key](value)) {
        throw new MirabelleError('datadir.broken', `${path} does not hold a value for ${key}.`)
      }
      ;(state.#values as unknown as Record<string, unknown>)[key] = value
    }
    const held = await readJson(disk, assignmentFile(datadir))
    if (held !== undefined && !isAssignment(held))
      throw new MirabelleError('datadir.broken', `${assignmentFile(datadir)} does not hold an assignment.`)
    state.#assignment = held
    return state
  }

  get epoch(): Epoch {
    return this.#values.epoch
  }
  get syncRep(): boolean | null {
    return this.#values.syncRep
  }
  get standbyStale(): boolean {
    return this.#values.standbyStale
  }
  get role(): Role | null {
    return this.#values.role
  }
  get copying(): 'differential' | 'full' | null {
    return this.#values.copying
  }
  /** The assignment of the last run, or undefined before the first. */
  get assignment(): Assignment | undefined {
    return this.#assignment
  }

  /** Promises to obey no lower epoch. A lower number than the promised one changes nothing. */
  raiseEpoch(epoch: Epoch): Promise<void> {
    return this.#write('epoch', async () => {
      if (epoch > this.#values.epoch) await this.#store('epoch', epoch)
    })
  }
  setSyncRep(on: boolean): Promise<void> {
    return this.#write('syncRep', () => this.#store('syncRep', on))
  }
  setStandbyStale(stale: boolean): Promise<void> {
    return this.#write('standbyStale', () => this.#store('standbyStale', stale))
  }
  setRole(role: Role): Promise<void> {
    return this.#write('role', () => this.#store('role', role))
  }
  setCopying(mode: 'differential' | 'full' | null): Promise<void> {
    return this.#write('copying', () => this.#store('copying', mode))
  }
  /** Writes down what `next` makes of the last assignment, one change after the other. */
  setAssignment(next: (held: Assignment | undefined) => Assignment): Promise<void> {
    return this.#write('assignment', async () => {
      const assignment = next(this.#assignment)
      const text = `${JSON.stringify(assignment, null, 2)}\n`
      if (faults !== undefined) await faults.at('state.assignment.before')
      await this.#disk.writeFileDurable(assignmentFile(this.#datadir), text)
      if (faults !== undefined) await faults.at('state.assignment.after')
      this.#assignment = assignment
    })
  }

  #path(key: keyof Values): string {
    return `${stateDir(this.#datadir)}/${files[key]}`
  }

  async #store<K extends keyof Values>(key: K, value: Values[K]): Promise<void> {
    if (this.#values[key] === value && !this.#unsure.has(key)) return
    if (faults !== undefined) await faults.at(`state.${key}.before`)
    this.#unsure.add(key)
    await this.#disk.writeFileDurable(this.#path(key), `${JSON.stringify({ value })}\n`)
    this.#unsure.delete(key)
    if (faults !== undefined) await faults.at(`state.${key}.after`)
    this.#values[key] = value
  }

  #write(file: keyof Values | 'assignment', task: () => Promise<void>): Promise<void> {
    const done = (this.#writes.get(file) ?? Promise.resolve()).then(task)
    // A failed write is told to the one who asked; it does not stop later writes.
    this.#writes.set(
      file,
      done.catch(() => undefined),
    )
    return done
  }
}
