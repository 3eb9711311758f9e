/**
 * Greenplum's names for where rows are: the system column gp_segment_id, gp_execution_segment(), and gp_dist_random('table'), which reads a
 * relation on all segments, also one of the system catalog.
 *
 * PostgreSQL has no such column. But it reads `t.name` as `name(t)` when `t` has no column of that name, and every data directory has a function
 * gp_segment_id(anyelement): so here the column is only given the name of its table. Where rows are gathered the copy gets a column of that
 * name instead (plan-gather.ts).
 */
import { namesOf, walk, type Ast } from './ast.ts'
import type { CatalogView, TableInfo } from './catalog.ts'
import { notSupported, Refusal } from './errors.ts'
import { applyEdits, byteIndexer, type Edit } from './lex/edits.ts'
import { qualifiedName, quoteIdentifier } from './lex/identifiers.ts'
import { callAt, tokenize, type Range, type Token } from './lex/tokens.ts'
import { parseStatements, type RawStatement } from './parse.ts'

export const SEGMENT_ID = 'gp_segment_id'
const EXECUTION_SEGMENT = 'gp_execution_segment'
const DIST_RANDOM = 'gp_dist_random'
const MENTIONED = /gp_segment_id|gp_execution_segment|gp_dist_random/i

/** PREPARE and DECLARE come back with the text behind them. */
const KINDS = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt'],
  ...['CopyStmt', 'ExplainStmt', 'CreateTableAsStmt', 'ViewStmt'],
])

export interface SegmentNames {
  readonly statement: RawStatement
  /** Knows the relations of gp_dist_random as spread over the segments. */
  readonly catalog: CatalogView
  /** It reads on all segments what the coordinator has, too: functions mean the segment that calls them. */
  readonly everywhere: boolean
}

/** The statement with these names as PostgreSQL understands them; undefined when it has none. Throws Refusal. */
export function withSegmentNames(statement: RawStatement, catalog: CatalogView): SegmentNames | undefined {
  if (!MENTIONED.test(statement.sql) || !KINDS.has(statement.kind)) return undefined
  const { edits, everywhere, found } = new Rewriting(statement, catalog).result()
  // A stored definition says gp_segment_id(t.*), which where rows are gathered would be the coordinator's.
  if (found && statement.kind === 'ViewStmt')
    throw notSupported(`${SEGMENT_ID} in a view is not supported`, 'Name it in the queries over the table.')
  if (edits.length === 0) return undefined
  const sql = applyEdits(statement.sql, edits)
  const rewritten = parseStatements(sql)[0] as RawStatement
  return {
    statement: { ...rewritten, start: statement.start },
    catalog: everywhere.size === 0 ? catalog : overlaid(catalog, everywhere),
    everywhere: everywhere.size > 0,
  }
}

function overlaid(catalog: CatalogView, tables: ReadonlyMap<string, TableInfo>): CatalogView {
  return {
    version: catalog.version,
    pathKey: catalog.pathKey,
    segmentCount: catalog.segmentCount,
    lookup: (schema, name) => tables.get(`${schema}.${name}`) ?? catalog.lookup(schema, name),
    lookupFunction: (schema, name) => catalog.lookupFunction(schema, name),
  }
}

/** The tables of one FROM clause. */
interface Level {
  readonly sources: readonly { readonly alias: string; readonly table: TableInfo; readonly spread: boolean }[]
  /** Something in it has a column gp_segment_id of its own. */
  readonly own: boolean
}

class Rewriting {
  readonly #edits: Edit[] = []
  readonly #everywhere = new Map<string, TableInfo>()
  readonly #statement: RawStatement
  readonly #catalog: CatalogView
  readonly #tokens: readonly Token[]
  readonly #at: (byte: number) => number
  /** With what each of them selects. */
  readonly #ctes = new Map<string, Ast | undefined>()
  #found = false

  constructor(statement: RawStatement, catalog: CatalogView) {
    this.#statement = statement
    this.#catalog = catalog
    this.#tokens = tokenize(statement.sql)
    this.#at = byteIndexer(statement.sql)
    walk(statement.body, (body, key) => {
      if (key === 'CommonTableExpr')
        this.#ctes.set(body.ctename as string, body.ctequery?.SelectStmt as Ast | undefined)
      return true
    })
  }

  result(): {
    readonly edits: readonly Edit[]
    readonly everywhere: ReadonlyMap<string, TableInfo>
    readonly found: boolean
  } {
    this.#visit(this.#statement.body, this.#statement.kind, [])
    this.#refuseBothMeanings()
    return { edits: this.#edits, everywhere: this.#everywhere, found: this.#found }
  }

  #visit(node: unknown, key: string, levels: readonly Level[]): void {
    if (Array.isArray(node)) {
      for (const item of node) this.#visit(item, key, levels)
      return
    }
    if (node === null || typeof node !== 'object') return
    const body = node as Ast
    const from = fromOf(body, key)
    const inside = from === undefined ? levels : [this.#levelOf(from), ...levels]
    if (key === 'RangeFunction') this.#distRandom(body)
    if (key === 'ColumnRef') this.#column(body, inside)
    if (key === 'ResTarget' && isCall(body.val as Ast | undefined, EXECUTION_SEGMENT)) {
      this.#executionSegment(body.val.FuncCall as Ast, inside, body.name === undefined)
      return
    }
    if (key === 'FuncCall' && namesOf(body.funcname as Ast[]).at(-1) === EXECUTION_SEGMENT)
      this.#executionSegment(body, inside, false)
    for (const child in body) this.#visit(body[child], child, inside)
  }

  #levelOf(from: readonly Ast[]): Level {
    const sources: Level['sources'][number][] = []
    let own = false
    const add = (item: Ast): void => {
      const join = item.JoinExpr as Ast | undefined
      if (join !== undefined) {
        add(join.larg as Ast)
        add(join.rarg as Ast)
        return
      }
      const found = this.#tableOf(item)
      if (found?.table.columns.some((column) => column.name === SEGMENT_ID) ?? this.#selectsIt(item))
        own = true
      else if (found !== undefined && (found.table.kind !== 'view' || item.RangeVar === undefined))
        sources.push(found)
    }
    from.forEach(add)
    return { sources, own }
  }

  /** A subquery or a CTE with a column of this name. */
  #selectsIt(item: Ast): boolean {
    const query = (item.RangeSubselect?.subquery?.SelectStmt ??
      this.#ctes.get((item.RangeVar?.relname ?? '') as string)) as Ast | undefined
    return ((query?.targetList ?? []) as Ast[]).some(({ ResTarget: target }) => {
      const fields = target.val?.ColumnRef?.fields as Ast[] | undefined
      return (target.name ?? namesOf(fields).at(-1)) === SEGMENT_ID
    })
  }

  #tableOf(item: Ast): Level['sources'][number] | undefined {
    const range = item.RangeVar as Ast | undefined
    if (range !== undefined) {
      const name = range.relname as string
      const schema = range.schemaname as string | undefined
      if (schema === undefined && this.#ctes.has(name)) return undefined
      const table = this.#catalog.lookup(schema, name)
      if (table === undefined) return undefined
      return { alias: aliasOf(range) ?? name, table, spread: table.policy !== undefined }
    }
    const name = item.RangeFunction === undefined ? undefined : distRandomName(item.RangeFunction as Ast)
    if (name === undefined) return undefined
    return {
      alias: aliasOf(item.RangeFunction as Ast) ?? DIST_RANDOM,
      table: this.#named(name),
      spread: true,
    }
  }

  #column(body: Ast, levels: readonly Level[]): void {
    const names = namesOf(body.fields as Ast[])
    if (names.at(-1) !== SEGMENT_ID) return
    if (names.length > 1) {
      this.#found ||= levels.some(({ sources }) => sources.some(({ alias }) => alias === names.at(-2)))
      return
    }
    const start = this.#at(body.location as number)
    const level = levels.find(({ sources, own }) => own || sources.length > 0)
    const sources = level === undefined ? [] : sourcesOf(level)
    if (level === undefined || sources.length === 0) return
    if (sources.length > 1 || level.own)
      throw new Refusal('42702', `column reference "${SEGMENT_ID}" is ambiguous`, undefined, {
        position: start + 1,
      })
    this.#found = true
    this.#edits.push({ start, end: start, text: `${quoteIdentifier(sources[0]?.alias ?? '')}.` })
  }

  /** The segment that a row comes from: what the function would say there. Without a table it says where it runs, the coordinator. */
  #executionSegment(call: Ast, levels: readonly Level[], unnamed: boolean): void {
    const sources = levels[0] === undefined ? [] : sourcesOf(levels[0]).filter(({ spread }) => spread)
    if (sources.length === 0) return
    if (sources.length > 1)
      throw notSupported(
        `${EXECUTION_SEGMENT}() over several tables is not supported`,
        `Use the column ${SEGMENT_ID} of one of the tables.`,
      )
    const { start, end } = this.#callAt(call)
    const column = `${quoteIdentifier(sources[0]?.alias ?? '')}.${SEGMENT_ID}`
    this.#edits.push({ start, end, text: unnamed ? `${column} AS ${EXECUTION_SEGMENT}` : column })
  }

  #distRandom(range: Ast): void {
    const name = distRandomName(range)
    if (name === undefined) return
    const table = this.#named(name)
    if (table.viewTouchesDistributed === true)
      throw notSupported(`${DIST_RANDOM} of view ${name} is not supported`, 'Query the view itself.')
    if (table.live !== undefined)
      throw notSupported(
        `${DIST_RANDOM} of ${name} is not supported: the coordinator fills it`,
        'Query it without gp_dist_random; gp_stat_replication and gp_segment_status show all instances.',
      )
    if (table.policy === undefined)
      this.#everywhere.set(`${table.schema}.${table.name}`, { ...table, policy: { kind: 'random' } })
    const { start, end } = this.#callAt((functionsOf(range)[0] as Ast).FuncCall as Ast)
    const alias = aliasOf(range) === undefined ? ` AS ${DIST_RANDOM}` : ''
    this.#edits.push({ start, end, text: qualifiedName(table) + alias })
  }

  #named(name: string): TableInfo {
    const parts = name.split('.')
    const table = this.#catalog.lookup(parts.length > 1 ? parts.at(-2) : undefined, parts.at(-1) ?? '')
    if (table === undefined) throw new Refusal('42P01', `relation "${name}" does not exist`)
    return table
  }

  #callAt(call: Ast): Range {
    const { start, end } = callAt(this.#statement.sql, this.#tokens, this.#at(call.location as number))
    return { start, end }
  }

  /** One name cannot mean the coordinator's relation and that of the segments. */
  #refuseBothMeanings(): void {
    if (this.#everywhere.size === 0) return
    walk(this.#statement.body, (body, key) => {
      if (
        key === 'RangeVar' &&
        this.#everywhere.has(`${body.schemaname as string}.${body.relname as string}`)
      )
        throw notSupported(
          `${body.relname as string} cannot be read on the coordinator and with ${DIST_RANDOM} in one statement`,
          'Run two statements.',
        )
      return true
    })
  }
}

/** Tables with rows on the segments are meant before those of the coordinator. */
function sourcesOf({ sources }: Level): Level['sources'] {
  const spread = sources.filter((source) => source.spread)
  return spread.length > 0 ? spread : sources
}

/** What the names of a statement's own columns are looked up in; undefined for other nodes. */
function fromOf(body: Ast, key: string): readonly Ast[] | undefined {
  switch (key) {
    case 'SelectStmt':
    case 'larg':
    case 'rarg':
      return body.fromClause as Ast[] | undefined
    case 'InsertStmt':
      return [{ RangeVar: body.relation as Ast }]
    case 'UpdateStmt':
      return [{ RangeVar: body.relation as Ast }, ...((body.fromClause ?? []) as Ast[])]
    case 'DeleteStmt':
      return [{ RangeVar: body.relation as Ast }, ...((body.usingClause ?? []) as Ast[])]
    default:
      return undefined
  }
}

function aliasOf(body: Ast): string | undefined {
  return body.alias?.aliasname as string | undefined
}

function functionsOf(range: Ast): Ast[] {
  const [first, ...others] = (range.functions ?? []) as Ast[]
  const items = (first?.List?.items ?? []) as Ast[]
  return others.length > 0 ? [] : items.filter((item) => Object.keys(item).length > 0)
}

function isCall(node: Ast | undefined, name: string): boolean {
  return node?.FuncCall !== undefined && namesOf(node.FuncCall.funcname as Ast[]).at(-1) === name
}

/** The relation that FROM gp_dist_random('relation') reads. */
function distRandomName(range: Ast): string | undefined {
  const [call] = functionsOf(range)
  if (!isCall(call, DIST_RANDOM)) return undefined
  const args = (call?.FuncCall?.args ?? []) as Ast[]
  const name = args[0]?.A_Const?.sval?.sval as string | undefined
  if (args.length !== 1 || name === undefined)
    throw notSupported(`${DIST_RANDOM} takes the name of a relation`, `Write ${DIST_RANDOM}('name').`)
  return name
}
