/** One consistent state of the schema, made from the answers of the coordinator's PostgreSQL. Never changes once made. */
import {
  bodyTouchesTables,
  type CatalogView,
  type ColumnInfo,
  type DistributionPolicy,
  type FunctionInfo,
  type TableInfo,
} from '@mirabelle/sql'
import { LIVE_RELATIONS } from '../views/live-views.ts'
import type { SystemSchemaJson, UserSchemaJson } from './schema-sql.ts'

export interface RoleInfo {
  readonly name: string
  readonly superuser: boolean
  readonly canLogin: boolean
  /** SCRAM verifier. */
  readonly password: string | undefined
  /** VALID UNTIL, ms since 1970; undefined = for ever. */
  readonly validUntil: number | undefined
  /** ALTER ROLE … SET. */
  readonly settings: readonly (readonly [string, string])[]
}

type TableJson = UserSchemaJson['tables'][number]

const KINDS: Record<string, TableInfo['kind']> = {
  r: 'table',
  p: 'table',
  v: 'view',
  m: 'materialized view',
  S: 'sequence',
  f: 'foreign table',
}
const FILLS: Record<string, NonNullable<ColumnInfo['fill']>> = {
  c: 'constant',
  s: 'stable',
  v: 'volatile',
  i: 'identity',
  g: 'generated',
}
const VOLATILITY: Record<string, FunctionInfo['volatility']> = {
  a: 'immutable',
  i: 'immutable',
  s: 'stable',
  v: 'volatile',
}
const RANK = { immutable: 0, stable: 1, volatile: 2 } as const

/** schema → name → what. */
type Names<T> = Map<string, Map<string, T>>

export class SchemaSnapshot {
  readonly version: number
  readonly segmentCount: number
  readonly roles: ReadonlyMap<string, RoleInfo>
  readonly #schemas: ReadonlySet<string>
  readonly #tables: Names<TableInfo> = new Map()
  readonly #functions: Names<FunctionInfo> = new Map()
  readonly #types = new Map<number, string>()
  readonly #oids = new Map<string, number>()
  readonly #views = new Map<string, CatalogView>()

  constructor(version: number, segmentCount: number, system: SystemSchemaJson, user: UserSchemaJson) {
    this.version = version
    this.segmentCount = segmentCount
    this.#schemas = new Set(user.schemas)
    this.roles = new Map(user.roles.map((role) => [role[0], roleOf(role)]))
    for (const [oid, name] of [...system.types, ...user.types]) this.#types.set(oid, name)
    for (const [oid, schema, name, kind] of system.tables) {
      put(this.#tables, schema, name, {
        oid,
        schema,
        name,
        kind: KINDS[kind] ?? 'other',
        columns: [],
        uniqueIndexes: [],
        ...liveIn(schema, name),
      })
    }
    const touching = touchingViews(user.tables)
    const live = liveByOid(system, user)
    for (const table of user.tables)
      put(this.#tables, table.schema, table.name, { ...tableOf(table, touching), ...live.get(table.oid) })
    for (const [schema, name, volatility, aggregate] of system.functions) {
      put(this.#functions, schema, name, {
        name,
        volatility: VOLATILITY[volatility] ?? 'volatile',
        aggregate,
        userDefined: false,
      })
    }
    this.#addUserFunctions(user)
  }

  /** `format_type` name of a type. */
  typeName(oid: number): string | undefined {
    return this.#types.get(oid)
  }

  /** OID of a type by its `format_type` name. */
  typeOid(name: string): number | undefined {
    if (this.#oids.size === 0) for (const [oid, one] of this.#types) this.#oids.set(one, oid)
    return this.#oids.get(name)
  }

  tableBySchema(schema: string, name: string): TableInfo | undefined {
    return this.#tables.get(schema)?.get(name)
  }

  /** The view of a session with this search_path (the text of the setting) and this user. */
  view(searchPath: string, user: string): CatalogView {
    const schemas = this.#resolve(searchPath, user)
    const pathKey = schemas.join('\u0001')
    const known = this.#views.get(pathKey)
    if (known !== undefined) return known
    const find =
      <T>(names: Names<T>) =>
      (schema: string | undefined, name: string): T | undefined => {
        if (schema !== undefined) return names.get(schema)?.get(name)
        for (const one of schemas) {
          const found = names.get(one)?.get(name)
          if (found !== undefined) return found
        }
        return undefined
      }
    const view: CatalogView = {
      version: this.version,
      pathKey,
      segmentCount: this.segmentCount,
      lookup: find(this.#tables),
      lookupFunction: find(this.#functions),
    }
    this.#views.set(pathKey, view)
    return view
  }

  #resolve(searchPath: string, user: string): string[] {
    const names = splitNames(searchPath).map((name) => (name === '$user' ? user : name))
    const schemas = names.filter((name) => this.#schemas.has(name))
    return schemas.includes('pg_catalog') ? schemas : ['pg_catalog', ...schemas]
  }

  #addUserFunctions(user: UserSchemaJson): void {
    const isDistributed = (name: string): boolean => {
      for (const names of this.#tables.values()) {
        const table = names.get(name)
        if (table?.policy !== undefined || table?.viewTouchesDistributed === true) return true
      }
      return false
    }
    const touching = new Set<string>()
    // A function that calls one that touches touches too: repeat until nothing changes.
    for (let grown = true; grown;) {
      grown = false
      for (const [, name, , , language, body] of user.functions) {
        if (touching.has(name)) continue
        if (!bodyTouchesTables(language, body, isDistributed, (callee) => touching.has(callee))) continue
        touching.add(name)
        grown = true
      }
    }
    for (const [schema, name, volatility, aggregate] of user.functions) {
      const known = this.#functions.get(schema)?.get(name)
      const own = VOLATILITY[volatility] ?? 'volatile'
      put(this.#functions, schema, name, {
        name,
        volatility: known !== undefined && RANK[known.volatility] > RANK[own] ? known.volatility : own,
        aggregate: aggregate || known?.aggregate === true,
        // What the template brings along (schema pg_catalog) is ours, not a user's.
        userDefined: schema !== 'pg_catalog' || known?.userDefined === true,
        touchesDistributed: touching.has(name),
      })
    }
  }
}

function put<T>(names: Names<T>, schema: string, name: string, value: T): void {
  const inner = names.get(schema)
  if (inner === undefined) names.set(schema, new Map([[name, value]]))
  else inner.set(name, value)
}

function tableOf(json: TableJson, touching: ReadonlySet<number>): TableInfo {
  const columns = json.columns ?? []
  const policy = policyOf(json)
  return {
    oid: json.oid,
    schema: json.schema,
    name: json.name,
    kind: KINDS[json.kind] ?? 'other',
    ...(policy === undefined ? {} : { policy }),
    columns: columns.map(([, name, type, , fill]) => ({
      name,
      type,
      ...(fill === null ? {} : { fill: FILLS[fill] ?? 'volatile' }),
    })),
    uniqueIndexes: (json.indexes ?? []).map(([name, primary, keys]) => ({ name, primary, columns: keys })),
    ...(json.definition === null ? {} : { viewDefinition: json.definition.replace(/;\s*$/, '') }),
    ...(json.kind === 'v' || json.kind === 'm' ? { viewTouchesDistributed: touching.has(json.oid) } : {}),
  }
}

function policyOf(json: TableJson): DistributionPolicy | undefined {
  if (json.policy === null) return undefined
  if (json.policy === 'r') return { kind: 'replicated' }
  const key = json.key ?? []
  if (key.length === 0) return { kind: 'random' }
  const columns = key.map((number) => json.columns?.find((column) => column[0] === number))
  return {
    kind: 'hash',
    columns: columns.map((column) => column?.[1] ?? ''),
    types: columns.map((column) => column?.[3] ?? ''),
  }
}

/** What a relation shows of the live views by itself. */
function liveIn(schema: string, name: string): Pick<TableInfo, 'live'> {
  const live = schema === 'pg_catalog' ? LIVE_RELATIONS.get(name) : undefined
  return live === undefined ? {} : { live }
}

/** What relations show of the live views, themselves or through views. */
function liveByOid(system: SystemSchemaJson, user: UserSchemaJson): Map<number, Pick<TableInfo, 'live'>> {
  const shown = new Map<number, ReadonlySet<string>>()
  const add = (oid: number, names: readonly string[]): boolean => {
    const before = shown.get(oid) ?? new Set()
    const after = new Set([...before, ...names])
    if (after.size === before.size) return false
    shown.set(oid, after)
    return true
  }
  for (const [oid, schema, name] of system.tables) add(oid, liveIn(schema, name).live ?? [])
  for (const { oid, schema, name } of user.tables) add(oid, liveIn(schema, name).live ?? [])
  // A view shows what the relations that it reads show: repeat until nothing changes.
  const read = (oid: number): string[] => [...(shown.get(oid) ?? [])]
  const grow = ({ oid, reads }: UserSchemaJson['tables'][number]): boolean =>
    add(oid, (reads ?? []).flatMap(read))
  while (user.tables.map(grow).includes(true));
  return new Map([...shown].map(([oid, names]) => [oid, { live: [...names] }]))
}

/** OIDs of the views that read a distributed table, directly or through other views. */
function touchingViews(tables: UserSchemaJson['tables']): Set<number> {
  const distributed = new Set(tables.filter((table) => table.policy !== null).map((table) => table.oid))
  const touching = new Set<number>()
  for (let grown = true; grown;) {
    grown = false
    for (const table of tables) {
      if (table.reads === null || touching.has(table.oid)) continue
      if (!table.reads.some((oid) => distributed.has(oid) || touching.has(oid))) continue
      touching.add(table.oid)
      grown = true
    }
  }
  return touching
}

function roleOf([
  name,
  superuser,
  canLogin,
  password,
  validUntil,
  settings,
]: UserSchemaJson['roles'][number]): RoleInfo {
  return {
    name,
    superuser,
    canLogin,
    password: password ?? undefined,
    validUntil: validUntil ?? undefined,
    // Those of ALTER ROLE ALL come first: the role's own replace them.
    settings: [
      ...new Map(
        (settings ?? []).map((text) => {
          const at = text.indexOf('=')
          return [text.slice(0, at).toLowerCase(), text.slice(at + 1)] as const
        }),
      ),
    ],
  }
}

/** The names of a list such as `"$user", public`. */
export function splitNames(list: string): string[] {
  const names: string[] = []
  for (const match of list.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^",\s]+))\s*(?:,|$)/g)) {
    names.push(match[1] !== undefined ? match[1].replaceAll('""', '"') : (match[2] ?? '').toLowerCase())
  }
  return names
}
