/**
 * A catalog snapshot for the tests that run real engines: from the rows of `CATALOG_SQL` and the policies. (The coordinator has its own.)
 */
import { bodyTouchesTables } from '../src/analysis/function-body.ts'
import { survey } from '../src/analysis/survey.ts'
import type { CatalogView, ColumnInfo, DistributionPolicy, FunctionInfo, TableInfo } from '../src/catalog.ts'
import type { FunctionRow, RelationRow } from './catalog-sql.ts'
import { parseStatements } from '../src/parse.ts'

export interface SnapshotRows {
  readonly relations: readonly RelationRow[]
  readonly systemRelations: readonly string[]
  readonly functions: readonly FunctionRow[]
}

const VOLATILITY = { i: 'immutable', s: 'stable', v: 'volatile' } as const
const KINDS: Record<string, TableInfo['kind']> = {
  r: 'table',
  p: 'table',
  v: 'view',
  m: 'materialized view',
  S: 'sequence',
  f: 'foreign table',
}

export class SnapshotCatalog {
  readonly version: number
  readonly segmentCount: number
  readonly #tables = new Map<string, TableInfo>()
  readonly #byOid = new Map<number, TableInfo>()
  readonly #system: ReadonlySet<string>
  readonly #functions = new Map<string, FunctionInfo[]>()
  readonly #views = new Map<string, CatalogView>()

  /** `policies` by oid of the table, as the coordinator stores them. The parser must be loaded (`Planner.create`). */
  constructor(
    version: number,
    segmentCount: number,
    rows: SnapshotRows,
    policies: ReadonlyMap<number, DistributionPolicy>,
  ) {
    this.version = version
    this.segmentCount = segmentCount
    this.#system = new Set(rows.systemRelations)
    const reads = new Map(rows.relations.map((row) => [row.oid, row.reads ?? []]))
    const touches = (oid: number, seen: ReadonlySet<number>): boolean =>
      policies.has(oid) ||
      (!seen.has(oid) && (reads.get(oid) ?? []).some((next) => touches(next, new Set([...seen, oid]))))
    const names = new Set(rows.relations.filter((row) => touches(row.oid, new Set())).map((row) => row.name))
    this.#addFunctions(rows.functions, names)
    for (const row of rows.relations)
      this.#addRelation(row, policies.get(row.oid), row.kind === 'v' && touches(row.oid, new Set()))
  }

  /** The view of a session. `searchPath`: schema names in order, `$user` replaced, missing schemas left out; pg_catalog is implied first. */
  withSearchPath(searchPath: readonly string[]): CatalogView {
    const pathKey = JSON.stringify(searchPath)
    let view = this.#views.get(pathKey)
    if (view === undefined) {
      view = {
        version: this.version,
        pathKey,
        segmentCount: this.segmentCount,
        lookup: (schema, name) => this.#lookup(searchPath, schema, name),
        lookupFunction: (schema, name) => this.#lookupFunction(schema, name),
      }
      if (this.#views.size > 1000) this.#views.clear()
      this.#views.set(pathKey, view)
    }
    return view
  }

  /** By oid, for a table that has just been made. */
  tableByOid(oid: number): TableInfo | undefined {
    return this.#byOid.get(oid)
  }

  /** All tables with a policy. */
  distributedTables(): TableInfo[] {
    return [...this.#byOid.values()].filter((table) => table.policy !== undefined)
  }

  #lookup(searchPath: readonly string[], schema: string | undefined, name: string): TableInfo | undefined {
    if (schema !== undefined) return this.#tables.get(keyOf(schema, name))
    const explicit = searchPath.indexOf('pg_catalog')
    if (explicit < 0 && this.#system.has(name)) return this.#systemTable(name)
    for (const candidate of searchPath) {
      if (candidate === 'pg_catalog' && this.#system.has(name)) return this.#systemTable(name)
      const found = this.#tables.get(keyOf(candidate, name))
      if (found !== undefined) return found
    }
    return undefined
  }

  #systemTable(name: string): TableInfo {
    return { oid: 0, schema: 'pg_catalog', name, kind: 'other', columns: [], uniqueIndexes: [] }
  }

  /** Which schema a call means depends on argument types too: all functions of the name together, unless the schema is given. */
  #lookupFunction(schema: string | undefined, name: string): FunctionInfo | undefined {
    const all = this.#functions.get(name)
    const list = schema === undefined ? all : all?.filter((_, i) => this.#schemas.get(name)?.[i] === schema)
    if (list === undefined || list.length === 0) return undefined
    return list.reduce((a, b) => ({
      name,
      volatility: worse(a.volatility, b.volatility),
      aggregate: a.aggregate || b.aggregate,
      userDefined: a.userDefined || b.userDefined,
      touchesDistributed: (a.touchesDistributed ?? false) || (b.touchesDistributed ?? false),
    }))
  }

  readonly #schemas = new Map<string, string[]>()

  #addFunctions(rows: readonly FunctionRow[], distributed: ReadonlySet<string>): void {
    // Functions that call functions that touch tables touch them too: until nothing changes.
    const touching = new Set<string>()
    for (let grew = true; grew;) {
      grew = false
      for (const row of rows) {
        if (touching.has(row.name) || row.bodies === null) continue
        const touches = row.bodies.some(({ language, body }) =>
          bodyTouchesTables(
            language,
            body,
            (name) => distributed.has(name),
            (name) => touching.has(name),
          ),
        )
        if (touches) {
          touching.add(row.name)
          grew = true
        }
      }
    }
    for (const row of rows) {
      const userDefined = row.bodies !== null
      const info: FunctionInfo = {
        name: row.name,
        volatility: VOLATILITY[row.volatility],
        aggregate: row.aggregate,
        userDefined,
        ...(userDefined ? { touchesDistributed: touching.has(row.name) } : {}),
      }
      push(this.#functions, row.name, info)
      push(this.#schemas, row.name, row.schema)
    }
  }

  #addRelation(
    row: RelationRow,
    policy: DistributionPolicy | undefined,
    viewTouchesDistributed: boolean,
  ): void {
    const table: TableInfo = {
      oid: row.oid,
      schema: row.schema,
      name: row.name,
      kind: KINDS[row.kind] ?? 'other',
      columns: row.columns.map((column) => this.#column(column)),
      uniqueIndexes: row.unique.map((index) => ({
        ...index,
        columns: index.columns.map((name) => name ?? ''),
      })),
      ...(policy === undefined ? {} : { policy }),
      ...(row.view === null ? {} : { viewDefinition: row.view, viewTouchesDistributed }),
    }
    this.#tables.set(keyOf(row.schema, row.name), table)
    this.#byOid.set(row.oid, table)
  }

  #column(column: RelationRow['columns'][number]): ColumnInfo {
    const { name, type } = column
    if (column.generated !== '') return { name, type, fill: 'generated' }
    if (column.identity !== '') return { name, type, fill: 'identity' }
    return column.fallback === null ? { name, type } : { name, type, fill: this.#fillOf(column.fallback) }
  }

  /** How a default has to be evaluated, from its text. */
  #fillOf(expression: string): NonNullable<ColumnInfo['fill']> {
    const statement = parseStatements(`SELECT ${expression}`)[0]
    if (statement === undefined) return 'volatile'
    const found = survey(statement.body, statement.kind, this.withSearchPath([]))
    if (found.functions.some((use) => use.placement === 'coordinator' || use.placement === 'local'))
      return 'volatile'
    return found.stableValues || found.functions.some((use) => use.placement === 'stable')
      ? 'stable'
      : 'constant'
  }
}

function worse(a: FunctionInfo['volatility'], b: FunctionInfo['volatility']): FunctionInfo['volatility'] {
  return a === 'volatile' || b === 'volatile'
    ? 'volatile'
    : a === 'stable' || b === 'stable'
      ? 'stable'
      : 'immutable'
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

function keyOf(schema: string, name: string): string {
  return `${schema}\u0000${name}`
}
