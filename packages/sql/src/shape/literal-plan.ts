/**
 * Turns the plan of one text into the plan of its shape: constants of the key become numbers of literals. Undefined when the plan may depend on
 * the values of literals, and so must not be shared.
 */
import { isMovingTime } from '../analysis/constants.ts'
import type { PlanContext } from '../context.ts'
import type { KeyPart, Plan } from '../plan.ts'
import type { ShapedStatement } from './lexer.ts'

/** A plan for all texts of one shape. */
export interface ShapePlan {
  readonly plan: Plan
  /** Literals that become a date or time key: `now` and the like change the plan. */
  readonly timeLiterals: readonly number[]
}

export function shapePlanOf(
  plan: Plan,
  context: PlanContext,
  shaped: ShapedStatement,
): ShapePlan | undefined {
  if (context.valueDependent) return undefined
  if (shaped.literals.length === 0) return { plan, timeLiterals: [] }
  if (plan.kind === 'pushdown' || plan.kind === 'coordinator') return { plan, timeLiterals: [] }
  if (plan.kind === 'direct') {
    const key = literalKey(plan.key, context, shaped)
    return key === undefined ? undefined : finish({ ...plan, key }, key)
  }
  if (plan.kind === 'insert' && plan.rowRanges === undefined) {
    const key = literalKey(plan.rows[0] ?? [], context, shaped)
    return key === undefined ? undefined : finish({ ...plan, rows: [key] }, key)
  }
  return undefined
}

/** True when a literal of this text takes the plan away from its shape. */
export function leavesShape(shape: ShapePlan, literals: readonly string[]): boolean {
  return shape.timeLiterals.some((index) => isMovingTime(literals[index] ?? '', 'timestamp'))
}

function finish(plan: Plan, key: readonly KeyPart[]): ShapePlan {
  const timeLiterals = key.flatMap((part) =>
    part.source === 'literal' && /^(date|time)/.test(part.type) ? [part.index] : [],
  )
  return { plan, timeLiterals }
}

function literalKey(
  key: readonly KeyPart[],
  context: PlanContext,
  shaped: ShapedStatement,
): KeyPart[] | undefined {
  const parts: KeyPart[] = []
  for (const part of key) {
    const byte = context.constantAt.get(part)
    if (byte === undefined) {
      parts.push(part)
      continue
    }
    const literal = literalAt(context.sql, context.at(byte), shaped)
    if (literal === undefined) return undefined
    parts.push({ source: 'literal', index: literal.index, negative: literal.negative, type: part.type })
  }
  return parts
}

/** The literal that the parser's constant at `position` was made from: itself, or one behind a single minus sign. */
function literalAt(
  sql: string,
  position: number,
  shaped: ShapedStatement,
): { index: number; negative: boolean } | undefined {
  const index = shaped.starts.findIndex((start) => start >= position)
  if (index < 0) return undefined
  const start = shaped.starts[index] as number
  if (start === position) return { index, negative: false }
  return /^-\s*$/.test(sql.slice(position, start)) ? { index, negative: true } : undefined
}
