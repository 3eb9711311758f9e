/**
 * Whether a FROM clause can be evaluated segment by segment, and what its rows' place depends on. A unit is a part of the join: it is
 * `partitioned` when its rows are spread over the contents, and each of its `places` is a list of columns whose hash is the place of the row.
 *
 * The rules: partitioned units join only on equality of all columns of a place; whatever is replicated joins with anything, except that
 * a replicated side may not be preserved by an outer join against a partitioned side (each content would add its own NULL rows).
 */
import { namesOf, type Ast } from '../ast.ts'
import type { TableInfo } from '../catalog.ts'
import { hashTypeOf } from '../hash/hash-type.ts'
import type { KeyPart } from '../plan.ts'
import { bindConstant, sameHash, type BindContext } from './constants.ts'
import { bothOf, EqualityClasses, NO_EQUALITIES, type Equalities } from './equalities.ts'

/** A table in the FROM clause. */
interface Source {
  readonly id: number
  readonly alias: string
  readonly schema: string | undefined
  readonly table: TableInfo
  /** Renamed columns: `t AS x(a, b)`. */
  readonly columnNames: readonly string[]
}

interface Unit {
  readonly partitioned: boolean
  readonly places: readonly (readonly string[])[]
  readonly equalities: Equalities
}

/** The result for a whole FROM … WHERE …. */
export interface Placement {
  readonly partitioned: boolean
  /** The key, when constants or parameters fix the place of every row. */
  readonly key: readonly KeyPart[] | undefined
}

/**
 * `from` are the FROM items (for UPDATE and DELETE the target first), `where` the condition. `lookup` gives the table of a RangeVar. Undefined:
 * cannot be evaluated segment by segment.
 */
export function placeJoin(
  from: readonly Ast[],
  where: Ast | undefined,
  lookup: (rangeVar: Ast) => TableInfo | undefined,
  context: BindContext,
): Placement | undefined {
  const sources: Source[] = []
  const merged = new Map<string, string>()
  if (!from.every(collect)) return undefined
  const units: Unit[] = []
  const conditions: Equalities[] = []
  if (!from.every((item) => flatten(item, units, conditions))) return undefined
  const whole = combine(units, bothOf(...conditions, readCondition(where)))
  if (whole === undefined) return undefined
  const classes = new EqualityClasses(whole.equalities)
  for (const place of whole.places) {
    const key = place.map((column) => classes.boundTo(column))
    if (key.length > 0 && key.every((part) => part !== undefined))
      return { partitioned: whole.partitioned, key }
  }
  return { partitioned: whole.partitioned, key: undefined }

  function collect(item: Ast): boolean {
    if (item.RangeVar !== undefined) {
      const rangeVar = item.RangeVar as Ast
      const table = lookup(rangeVar)
      if (table === undefined || table.policy === undefined) return false
      const alias = (rangeVar.alias?.aliasname ?? rangeVar.relname) as string
      const schema = rangeVar.alias === undefined ? (rangeVar.schemaname as string | undefined) : undefined
      sources.push({
        id: sources.length,
        alias,
        schema,
        table,
        columnNames: namesOf(rangeVar.alias?.colnames as Ast[]),
      })
      return true
    }
    const join = item.JoinExpr as Ast | undefined
    if (
      join === undefined ||
      join.isNatural === true ||
      join.alias !== undefined ||
      join.join_using_alias !== undefined
    )
      return false
    return collect(join.larg as Ast) && collect(join.rarg as Ast)
  }

  function flatten(item: Ast, into: Unit[], conditionsInto: Equalities[]): boolean {
    if (item.RangeVar !== undefined) {
      into.push(unitOf(sourceOf(item.RangeVar as Ast)))
      return true
    }
    const join = item.JoinExpr as Ast
    const kind = (join.jointype ?? 'JOIN_INNER') as string
    if (kind === 'JOIN_INNER') {
      if (
        !flatten(join.larg as Ast, into, conditionsInto) ||
        !flatten(join.rarg as Ast, into, conditionsInto)
      )
        return false
      conditionsInto.push(readJoinCondition(join))
      return true
    }
    const left = unitOfItem(join.larg as Ast)
    const right = unitOfItem(join.rarg as Ast)
    if (left === undefined || right === undefined) return false
    const unit = outerJoin(kind, left, right, readJoinCondition(join))
    if (unit === undefined) return false
    into.push(unit)
    return true
  }

  function unitOfItem(item: Ast): Unit | undefined {
    const units: Unit[] = []
    const conditions: Equalities[] = []
    return flatten(item, units, conditions) ? combine(units, bothOf(...conditions)) : undefined
  }

  function sourceOf(rangeVar: Ast): Source {
    const alias = (rangeVar.alias?.aliasname ?? rangeVar.relname) as string
    const schema = rangeVar.alias === undefined ? (rangeVar.schemaname as string | undefined) : undefined
    return sources.find((source) => source.alias === alias && source.schema === schema) as Source
  }

  function readJoinCondition(join: Ast): Equalities {
    const names = namesOf(join.usingClause as Ast[])
    if (names.length === 0) return readCondition(join.quals as Ast | undefined)
    const left = sourcesBelow(join.larg as Ast)
    const right = sourcesBelow(join.rarg as Ast)
    const pairs: [string, string][] = []
    for (const name of names) {
      const a = uniqueColumn(left, name) ?? merged.get(name)
      const b = uniqueColumn(right, name)
      if (a === undefined || b === undefined) continue
      if (comparable(a, b)) pairs.push([a, b])
      if (join.jointype === undefined || join.jointype === 'JOIN_INNER' || join.jointype === 'JOIN_LEFT')
        merged.set(name, a)
    }
    return { pairs, bound: [] }
  }

  function sourcesBelow(item: Ast): Source[] {
    if (item.RangeVar !== undefined) return [sourceOf(item.RangeVar as Ast)]
    return [...sourcesBelow(item.JoinExpr.larg as Ast), ...sourcesBelow(item.JoinExpr.rarg as Ast)]
  }

  function readCondition(condition: Ast | undefined): Equalities {
    if (condition === undefined) return NO_EQUALITIES
    const bool = condition.BoolExpr as Ast | undefined
    if (bool?.boolop === 'AND_EXPR') return bothOf(...(bool.args as Ast[]).map(readCondition))
    const expr = condition.A_Expr as Ast | undefined
    const operator = namesOf(expr?.name as Ast[])
    if (
      expr === undefined ||
      (expr.kind ?? 'AEXPR_OP') !== 'AEXPR_OP' ||
      operator.length !== 1 ||
      operator[0] !== '='
    )
      return NO_EQUALITIES
    const left = columnOf(expr.lexpr as Ast | undefined)
    const right = columnOf(expr.rexpr as Ast | undefined)
    if (left !== undefined && right !== undefined)
      return comparable(left, right) ? { pairs: [[left, right]], bound: [] } : NO_EQUALITIES
    const column = left ?? right
    const value = (left === undefined ? expr.lexpr : expr.rexpr) as Ast | undefined
    if (column === undefined || value === undefined) return NO_EQUALITIES
    const part = bindConstant(value, typeOf(column), false, context)
    return part === undefined ? NO_EQUALITIES : { pairs: [], bound: [[column, part]] }
  }

  function columnOf(expr: Ast | undefined): string | undefined {
    if (expr?.ColumnRef === undefined) return undefined
    const names = namesOf(expr.ColumnRef.fields as Ast[])
    const name = names[names.length - 1] ?? ''
    if (name === '' || names.length > 3) return undefined
    if (names.length === 1) return merged.get(name) ?? uniqueColumn(sources, name)
    const qualifier = names[names.length - 2]
    const candidates = sources.filter(
      (source) => source.alias === qualifier && (names.length === 2 || source.schema === names[0]),
    )
    return uniqueColumn(candidates, name)
  }

  function uniqueColumn(candidates: readonly Source[], name: string): string | undefined {
    const found = candidates.flatMap((source) => {
      const renamed = source.columnNames.indexOf(name)
      if (renamed >= 0) return [`${source.id}.${source.table.columns[renamed]?.name ?? ''}`]
      const index = source.table.columns.findIndex((column) => column.name === name)
      return index < 0 || index < source.columnNames.length ? [] : [`${source.id}.${name}`]
    })
    return found.length === 1 ? found[0] : undefined
  }

  function typeOf(id: string): string {
    const dot = id.indexOf('.')
    const table = sources[Number(id.slice(0, dot))]?.table
    return table?.columns.find((column) => column.name === id.slice(dot + 1))?.type ?? 'unknown'
  }

  function comparable(a: string, b: string): boolean {
    return sameHash(hashTypeOf(typeOf(a)), hashTypeOf(typeOf(b)))
  }
}

function unitOf(source: Source): Unit {
  const policy = source.table.policy
  const partitioned = policy?.kind === 'hash' || policy?.kind === 'random'
  const places = policy?.kind === 'hash' ? [policy.columns.map((name) => `${source.id}.${name}`)] : []
  return { partitioned, places, equalities: NO_EQUALITIES }
}

/** Inner join of any number of units: merges co-located ones until at most one is partitioned. */
function combine(units: readonly Unit[], condition: Equalities): Unit | undefined {
  const equalities = bothOf(condition, ...units.map((unit) => unit.equalities))
  const classes = new EqualityClasses(equalities)
  const partitioned = units.filter((unit) => unit.partitioned)
  let places = partitioned[0]?.places ?? []
  let waiting = partitioned.slice(1)
  while (waiting.length > 0) {
    const next = waiting.find((unit) => colocated(places, unit.places, classes))
    if (next === undefined) return undefined
    places = [...places, ...next.places]
    waiting = waiting.filter((unit) => unit !== next)
  }
  return { partitioned: partitioned.length > 0, places, equalities }
}

function outerJoin(kind: string, left: Unit, right: Unit, condition: Equalities): Unit | undefined {
  const together = new EqualityClasses(bothOf(left.equalities, right.equalities, condition))
  const joinable = () =>
    left.partitioned && right.partitioned && colocated(left.places, right.places, together)
  if (kind === 'JOIN_LEFT' || kind === 'JOIN_RIGHT') {
    const [preserved, other] = kind === 'JOIN_LEFT' ? [left, right] : [right, left]
    return !other.partitioned || joinable() ? preserved : undefined
  }
  if (kind !== 'JOIN_FULL') return undefined
  if (left.partitioned || right.partitioned)
    return joinable() ? { partitioned: true, places: [], equalities: NO_EQUALITIES } : undefined
  return { partitioned: false, places: [], equalities: NO_EQUALITIES }
}

function colocated(
  a: readonly (readonly string[])[],
  b: readonly (readonly string[])[],
  classes: EqualityClasses,
): boolean {
  return a.some((x) =>
    b.some((y) => x.length === y.length && x.every((column, i) => classes.same(column, y[i] as string))),
  )
}
