/**
 * The settings of one session (SET, RESET, SET LOCAL, startup parameters, role): kept here, applied to whichever backend runs the next
 * statement. They follow the transaction: rolled back with it, SET LOCAL ends with it.
 */
import type { SessionSettings } from '../lanes/lane-item.ts'
import { NO_SETTINGS } from '../lanes/lane-item.ts'
import { literal } from '../catalog/catalog-sql.ts'
import { quoteName } from './quote.ts'

/** Kept by the session itself; the engine never learns of them. */
export const OWN_SETTINGS = new Set([
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'gather_limit',
])
/** The number of the session, for pg_backend_pid(). */
export const SESSION_PID = 'mirabelle.pid'
/** They say something about the client only: no statement on a segment depends on them. */
const COORDINATOR_ONLY = new Set(['application_name', SESSION_PID])
/** The way in which roles are named among the settings. */
export const ROLE = 'role'
export const AUTHORIZATION = 'session_authorization'

/** They change how values are printed. */
const LOSSY = ['datestyle', 'intervalstyle', 'extra_float_digits', 'bytea_output']

type Values = ReadonlyMap<string, string>
const NONE: Values = new Map()

/** What the session had at one moment. */
export interface SettingsMark {
  readonly session: Values
  readonly local: Values
}

/** Sessions with equal settings share one object, so that comparing keys is comparing the same string. */
const interned = new Map<string, SessionSettings>()
const MAX_INTERNED = 10_000

function intern(sql: string): SessionSettings {
  if (sql === '') return NO_SETTINGS
  const known = interned.get(sql)
  if (known !== undefined) return known
  if (interned.size >= MAX_INTERNED) interned.clear()
  const made: SessionSettings = { key: sql, sql }
  interned.set(sql, made)
  return made
}

export class SettingsOfSession {
  readonly #defaults: Values
  #session: Values = NONE
  #local: Values = NONE
  #statement: SessionSettings | undefined
  #full: SessionSettings | undefined
  #transport: SessionSettings | undefined

  /** `defaults`: the startup parameters and, for a user that is not the superuser, `session_authorization`. */
  constructor(defaults: Values) {
    this.#defaults = defaults
  }

  /** The value in force, or undefined when it is the server's default. */
  get(name: string): string | undefined {
    return this.#local.get(name) ?? this.#session.get(name) ?? this.#defaults.get(name)
  }

  set(name: string, value: string, local: boolean): void {
    if (local) this.#local = with_(this.#local, name, value)
    else {
      this.#session = with_(this.#session, name, value)
      this.#local = without(this.#local, name)
    }
    this.#changed()
  }

  /** Back to what it was at login. `fallback` is the server's default, needed to express a local reset. */
  reset(name: string): void {
    this.#session = without(this.#session, name)
    this.#local = without(this.#local, name)
    this.#changed()
  }

  /** RESET ALL: everything but the role, as PostgreSQL does. */
  resetAll(): void {
    const keep = (values: Values): Values =>
      new Map([...values].filter(([name]) => name === ROLE || name === AUTHORIZATION))
    this.#session = keep(this.#session)
    this.#local = keep(this.#local)
    this.#changed()
  }

  /** DISCARD ALL: the role too. */
  discard(): void {
    this.#session = NONE
    this.#local = NONE
    this.#changed()
  }

  /** The names of everything that differs from the server's default. */
  names(): string[] {
    return [...new Set([...this.#defaults.keys(), ...this.#session.keys(), ...this.#local.keys()])]
  }

  mark(): SettingsMark {
    return { session: this.#session, local: this.#local }
  }

  /** Back to a mark: the transaction or the savepoint was rolled back. */
  restore(mark: SettingsMark): void {
    if (this.#session === mark.session && this.#local === mark.local) return
    this.#session = mark.session
    this.#local = mark.local
    this.#changed()
  }

  /** The transaction has ended: what was local is over. */
  endLocal(): void {
    if (this.#local.size === 0) return
    this.#local = NONE
    this.#changed()
  }

  /** What statements need on any backend. */
  get forStatements(): SessionSettings {
    return (this.#statement ??= intern(this.#script((name) => !COORDINATOR_ONLY.has(name))))
  }

  /**
   * The same, but values are printed so that another instance reads back exactly what was there: for rows that travel between instances.
   */
  get forTransport(): SessionSettings {
    if (!LOSSY.some((name) => this.get(name) !== undefined)) return this.forStatements
    const { sql } = this.forStatements
    return (this.#transport ??= intern(
      `${sql === '' ? '' : `${sql}; `}SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'`,
    ))
  }

  /** Everything, for statements that look at the settings themselves. */
  get full(): SessionSettings {
    return (this.#full ??= intern(this.#script(() => true)))
  }

  #changed(): void {
    this.#transport = undefined
    this.#statement = undefined
    this.#full = undefined
  }

  #script(wanted: (name: string) => boolean): string {
    const calls: string[] = []
    for (const name of this.names().sort()) {
      const value = this.get(name)
      if (value === undefined || OWN_SETTINGS.has(name) || name === ROLE || name === AUTHORIZATION) continue
      if (wanted(name))
        calls.push(`pg_catalog.set_config(${literal(name).trim()},${literal(value).trim()},false)`)
    }
    const parts = calls.length === 0 ? [] : [`SELECT ${calls.join(',')}`]
    // The roles come last: what follows them runs with their privileges.
    const user = this.get(AUTHORIZATION)
    if (user !== undefined) parts.push(`SET SESSION AUTHORIZATION ${quoteName(user)}`)
    const role = this.get(ROLE)
    if (role !== undefined && role !== 'none') parts.push(`SET ROLE ${quoteName(role)}`)
    return parts.join('; ')
  }
}

function with_(values: Values, name: string, value: string): Values {
  return new Map([...values, [name, value]])
}

function without(values: Values, name: string): Values {
  if (!values.has(name)) return values
  const left = new Map(values)
  left.delete(name)
  return left
}
