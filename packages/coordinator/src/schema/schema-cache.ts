/**
 * The schema as the planner sees it, and the gate in front of it (sql §5).
 *
 * Made with the SQL front end; `load` reads it from the coordinator's PostgreSQL at start and after each change. While a transaction changes
 * the schema it holds every lane, and the gate is closed: a statement that holds no lane waits for the new schema instead of planning with
 * the old one. So a statement never runs with a plan for tables that have changed since.
 */
import { MirabelleError } from '@mirabelle/messages'
import { ownItem } from '../lanes/own-item.ts'
import { readSystemSchema, readUserSchema, type RunOnCoordinator } from './read-schema.ts'
import { SchemaSnapshot } from './schema-snapshot.ts'
import type { SystemSchemaJson } from './schema-sql.ts'

export class SchemaCache {
  readonly #segmentCount: number
  #snapshot: SchemaSnapshot | undefined
  /** While somebody changes the schema: as it was before. */
  #before: SchemaSnapshot | undefined
  #system: SystemSchemaJson | undefined
  #version = 0
  /** Who changes it, and what is called when somebody has begun to wait for that. */
  readonly #changing = new Map<object, () => void>()
  #waiting: (() => void)[] = []

  constructor(segmentCount: number) {
    this.#segmentCount = segmentCount
  }

  get snapshot(): SchemaSnapshot {
    if (this.#snapshot === undefined)
      throw new MirabelleError('not.ready', 'the schema has not been loaded yet')
    return this.#snapshot
  }

  /** Without what an open transaction has changed. */
  get committed(): SchemaSnapshot {
    return this.#before ?? this.snapshot
  }

  /** Value of a setting of the coordinator's PostgreSQL at start. */
  serverSetting(name: string): string | undefined {
    return this.#system?.settings[name]
  }

  get serverSettings(): Readonly<Record<string, string>> {
    return this.#system?.settings ?? {}
  }

  /** Reads the schema; plans made from now on use it. `system`: what PostgreSQL brings along, where somebody is reading it already. */
  async load(run: RunOnCoordinator, system?: Promise<SystemSchemaJson>): Promise<void> {
    this.#system ??= await (system ?? readSystemSchema((sql) => run(ownItem(sql, false))))
    const user = await readUserSchema(run)
    this.#snapshot = new SchemaSnapshot(++this.#version, this.#segmentCount, this.#system, user)
  }

  /** True while nobody changes the schema. */
  get open(): boolean {
    return this.#changing.size === 0
  }

  /** A change begins: `by` holds the gate until `release`. */
  hold(by: object, othersWait: () => void): void {
    if (this.open) this.#before = this.#snapshot
    this.#changing.set(by, othersWait)
  }

  release(by: object): void {
    if (!this.#changing.delete(by) || this.#changing.size > 0) return
    this.#before = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const go of waiting) go()
  }

  holds(by: object): boolean {
    return this.#changing.has(by)
  }

  /** Somebody waits for the gate. */
  get isWaitedFor(): boolean {
    return this.#waiting.length > 0
  }

  /** Calls back when the gate opens; the returned function gives up the wait. */
  whenOpen(go: () => void): () => void {
    this.#waiting.push(go)
    for (const othersWait of this.#changing.values()) othersWait()
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== go)
    }
  }
}
