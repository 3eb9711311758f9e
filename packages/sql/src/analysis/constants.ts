/**
 * Constants and parameters that can bind a column of a distribution key. Strict: what is not plainly the value of the column's type is
 * not a key part, and the statement takes a more general plan.
 */
import { namesOf, type Ast } from '../ast.ts'
import { hashTypeOf, type HashType } from '../hash/hash-type.ts'
import type { KeyPart } from '../plan.ts'

/** What planning one statement shares. */
export interface BindContext {
  /** Types of $1, $2, … as the engine's Describe says them; empty when nothing is known (then the column's type is what PostgreSQL infers). */
  readonly paramTypes: readonly (string | undefined)[]
  /** Byte position in the parse tree of each constant that became a key part. */
  readonly constantAt: Map<KeyPart, number>
  /** The plan looked at the value of a literal: it must not be cached by shape. */
  valueDependent: boolean
}

/** Strings that mean another moment each time they are read. */
const MOVING_TIME = /^\s*(now|today|tomorrow|yesterday|allballs)\b/i

export function isMovingTime(text: string, type: string): boolean {
  return (
    (type.startsWith('timestamp') || type.startsWith('date') || type.startsWith('time')) &&
    MOVING_TIME.test(text)
  )
}

/**
 * The key part that `expr` gives for a column of type `columnType`, or undefined. `store`: the value will be assigned to the column (its
 * modifier applies, NULL is a value); otherwise it is compared with `=`.
 */
export function bindConstant(
  expr: Ast,
  columnType: string,
  store: boolean,
  context: BindContext,
): KeyPart | undefined {
  const type = hashTypeOf(columnType)
  if (type === undefined) return undefined
  const target = store ? columnType : type.base === 'character' ? 'character' : type.base
  return bind(expr, type, target, store, context)
}

function bind(
  expr: Ast,
  type: HashType,
  target: string,
  store: boolean,
  context: BindContext,
): KeyPart | undefined {
  if (expr.A_Const !== undefined) return bindLiteral(expr.A_Const as Ast, type, target, store, context)
  if (expr.ParamRef !== undefined) {
    const number = (expr.ParamRef.number ?? 0) as number
    const paramType = context.paramTypes[number - 1]
    if (paramType !== undefined && !sameHash(hashTypeOf(paramType), type)) return undefined
    return { source: 'param', number, type: target, ...(paramType === undefined ? {} : { paramType }) }
  }
  if (expr.TypeCast !== undefined) {
    const name = plainTypeName(expr.TypeCast.typeName as Ast)
    const cast = name === undefined ? undefined : hashTypeOf(name)
    const inner = expr.TypeCast.arg as Ast | undefined
    if (cast === undefined || inner === undefined || !sameHash(cast, type)) return undefined
    if (inner.A_Const === undefined && inner.ParamRef === undefined) return undefined
    // A cast to a numeric type may round; a cast of a number to text is no plain value either: bindLiteral sees to both.
    return bind(inner, type, target, store, context)
  }
  const sum = type.family === 'int' ? int4Sum(expr) : undefined
  if (sum === undefined) return undefined
  context.valueDependent = true
  return { source: 'constant', text: String(sum), type: target }
}

const INT4_MIN = -(2 ** 31)
const INT4_MAX = 2 ** 31 - 1

/** The value of a sum or difference of integer literals, as PostgreSQL's int4 arithmetic gives it; undefined for anything else, and beyond int4. */
function int4Sum(expr: Ast): number | undefined {
  const constant = expr.A_Const === undefined ? undefined : readConstant(expr.A_Const as Ast)
  let value: number | undefined
  if (constant?.class === 'integer') value = Number(constant.text)
  else if (expr.A_Expr?.kind === 'AEXPR_OP') {
    const names = namesOf(expr.A_Expr.name as Ast[])
    const left = expr.A_Expr.lexpr === undefined ? undefined : int4Sum(expr.A_Expr.lexpr as Ast)
    const right = expr.A_Expr.rexpr === undefined ? undefined : int4Sum(expr.A_Expr.rexpr as Ast)
    if (left === undefined || right === undefined || names.length !== 1) return undefined
    if (names[0] === '+') value = left + right
    else if (names[0] === '-') value = left - right
  }
  return value !== undefined && value >= INT4_MIN && value <= INT4_MAX ? value : undefined
}

function bindLiteral(
  constant: Ast,
  type: HashType,
  target: string,
  store: boolean,
  context: BindContext,
): KeyPart | undefined {
  const literal = readConstant(constant)
  if (literal === undefined) return undefined
  if (literal.class === 'null') return store ? { source: 'constant', text: null, type: target } : undefined
  if (literal.class === 'boolean' && type.family !== 'bool') return undefined
  if (literal.class === 'integer' && type.family !== 'int' && !isNumber(type)) return undefined
  if (literal.class === 'decimal' && !isNumber(type)) return undefined
  if (literal.class === 'string' && /^(date|time)/.test(type.base)) {
    // Only a moving time makes the plan differ; the shape cache checks for it with every new literal.
    if (isMovingTime(literal.text, type.base)) {
      context.valueDependent = true
      return undefined
    }
  }
  const part: KeyPart = { source: 'constant', text: literal.text, type: target }
  if (literal.class !== 'boolean') context.constantAt.set(part, (constant.location ?? 0) as number)
  return part
}

export type ConstantClass = 'null' | 'boolean' | 'integer' | 'decimal' | 'string'

/** Class and text of an A_Const; undefined for bit strings and the like. */
export function readConstant(constant: Ast): { class: ConstantClass; text: string } | undefined {
  if (constant.isnull === true) return { class: 'null', text: '' }
  if (constant.ival !== undefined) return { class: 'integer', text: String(constant.ival.ival ?? 0) }
  if (constant.fval !== undefined) {
    const text = String(constant.fval.fval)
    return { class: /^-?\d{1,18}$/.test(text) ? 'integer' : 'decimal', text }
  }
  if (constant.sval !== undefined) return { class: 'string', text: String(constant.sval.sval ?? '') }
  if (constant.boolval !== undefined)
    return { class: 'boolean', text: constant.boolval.boolval === true ? 't' : 'f' }
  return undefined
}

/** The name of a type without array bounds, SETOF or modifier, else undefined. */
export function plainTypeName(typeName: Ast): string | undefined {
  if (typeName.typmods !== undefined || typeName.arrayBounds !== undefined || typeName.setof === true)
    return undefined
  const names = namesOf(typeName.names as Ast[])
  if (names.length === 2 && names[0] !== 'pg_catalog') return undefined
  const name = names[names.length - 1]
  // A bare `char` is char(1) to the grammar, which gives it a modifier; plain bpchar arrives here.
  return name === undefined ? undefined : name
}

function isNumber(type: HashType): boolean {
  return type.base === 'numeric' || type.base === 'double precision' || type.base === 'real'
}

/** Values of both types that compare equal have one hash and one text. */
export function sameHash(a: HashType | undefined, b: HashType | undefined): boolean {
  if (a === undefined || b === undefined || a.group !== b.group) return false
  return a.family !== 'engine' || a.base === b.base
}

/** The text of an expression that is a constant, a cast of one included; undefined for NULL and everything else. */
export function constantText(expr: Ast | undefined): string | undefined {
  const inner = expr?.TypeCast === undefined ? expr : (expr.TypeCast.arg as Ast)
  return inner?.A_Const === undefined ? undefined : (readConstant(inner.A_Const as Ast)?.text ?? undefined)
}
