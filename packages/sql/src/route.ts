/**
 * From a plan and the values of a statement to contents: the last step before sending, and the only one that runs for every execution.
 */
import { isMovingTime } from './analysis/constants.ts'
import { contentOfKey, type EngineHash, type EngineHashes, type KeyValue } from './hash/distribution-hash.ts'
import { quoteLiteral } from './lex/identifiers.ts'
import { hashTypeOf } from './hash/hash-type.ts'
import type {
  DirectPlan,
  InsertEvaluatedPlan,
  InsertPlan,
  KeyPart,
  PlannedStatement,
  UnsupportedPlan,
} from './plan.ts'

/** A bound parameter as Bind sent it. */
export interface ParamValue {
  readonly value: string | Uint8Array | null
  readonly format: 0 | 1
}

export interface RouteInput {
  readonly segmentCount: number
  readonly params?: readonly ParamValue[]
  /** Answers to the questions of an earlier call. */
  readonly hashes?: EngineHashes
  /** A number from 0 to segmentCount - 1, for randomly distributed rows. */
  readonly pickContent: () => number
}

/** `engine`: compute these hashes on the coordinator's engine and call again with them. `refused`: answer with this error. */
export type Routed<T> =
  | { readonly kind: 'routed'; readonly value: T }
  | { readonly kind: 'engine'; readonly questions: readonly EngineHash[] }
  | { readonly kind: 'refused'; readonly plan: UnsupportedPlan }

/** A statement for one content or for all ('all': replicated, the answer of one of them is the answer). `rows`: which rows of the INSERT it holds. */
export interface InsertPart {
  readonly content: number | 'all'
  readonly sql: string
  readonly rows: readonly number[]
}

/** The content of a direct plan. */
export function routeDirect(
  planned: PlannedStatement & { readonly plan: DirectPlan },
  input: RouteInput,
): Routed<number> {
  return routeKey(planned.plan.key, planned.literals, input)
}

/** The statements of an insert plan: the text itself when all rows go to one place. */
export function routeInsert(
  planned: PlannedStatement & { readonly plan: InsertPlan },
  input: RouteInput,
): Routed<readonly InsertPart[]> {
  const { plan, sql, literals } = planned
  const all = plan.rows.map((_, i) => i)
  if (plan.policy.kind === 'replicated') return routed([{ content: 'all', sql, rows: all }])
  if (plan.rowRanges === undefined || plan.rows.length === 1) {
    const content =
      plan.policy.kind === 'random'
        ? routed(input.pickContent())
        : routeKey(plan.rows[0] ?? [], literals, input)
    return content.kind === 'routed' ? routed([{ content: content.value, sql, rows: all }]) : content
  }
  const placed =
    plan.policy.kind === 'random'
      ? routed(spread(plan.rows.length, input))
      : routeKeys(plan.rows, literals, input)
  if (placed.kind !== 'routed') return placed
  const ranges = plan.rowRanges
  const head = sql.slice(0, ranges[0]?.[0])
  const tail = sql.slice(ranges[ranges.length - 1]?.[1])
  return routed(
    byContent(placed.value).map(([content, rows]) => ({
      content,
      rows,
      sql:
        rows.length === all.length
          ? sql
          : head +
            rows.map((row) => sql.slice(...(ranges[row] as readonly [number, number]))).join(', ') +
            tail,
    })),
  )
}

/** The statements that insert evaluated rows (texts as the engine printed them, in the order of `plan.columns`). */
export function buildInsertParts(
  plan: InsertEvaluatedPlan,
  rows: readonly (readonly (string | null)[])[],
  input: RouteInput,
): Routed<readonly InsertPart[]> {
  const textOf = (list: readonly number[]) =>
    plan.head +
    list
      .map(
        (row) =>
          `(${(rows[row] ?? []).map((value) => (value === null ? 'NULL' : quoteLiteral(value))).join(', ')})`,
      )
      .join(', ') +
    (plan.tail === '' ? '' : ` ${plan.tail}`)
  if (rows.length === 0) return routed([])
  const all = rows.map((_, i) => i)
  if (plan.policy.kind === 'replicated') return routed([{ content: 'all', rows: all, sql: textOf(all) }])
  const { keyFields, keyTypes } = plan.copyIn
  const keys = rows.map((row) =>
    keyFields.map((field, i): KeyPart => ({
      source: 'constant',
      text: row[field] ?? null,
      type: keyTypes[i] as string,
    })),
  )
  const placed =
    plan.policy.kind === 'random' ? routed(spread(rows.length, input)) : routeKeys(keys, [], input)
  if (placed.kind !== 'routed') return placed
  return routed(
    byContent(placed.value).map(([content, list]) => ({ content, rows: list, sql: textOf(list) })),
  )
}

function routeKeys(
  keys: readonly (readonly KeyPart[])[],
  literals: readonly string[],
  input: RouteInput,
): Routed<number[]> {
  const questions = new Map<string, EngineHash>()
  const contents: number[] = []
  for (const key of keys) {
    const result = routeKey(key, literals, input)
    if (result.kind === 'refused') return result
    if (result.kind === 'engine')
      for (const question of result.questions) questions.set(question.id, question)
    else contents.push(result.value)
  }
  return questions.size > 0 ? { kind: 'engine', questions: [...questions.values()] } : routed(contents)
}

function routeKey(key: readonly KeyPart[], literals: readonly string[], input: RouteInput): Routed<number> {
  const values = key.map((part) => keyValue(part, literals, input.params ?? []))
  const missing: EngineHash[] = []
  const content = contentOfKey(values, input.segmentCount, input.hashes, missing)
  if (content >= 0) return routed(content)
  const moving = values.find(
    (value) =>
      value.format === 0 &&
      value.value !== null &&
      isMovingTime(textOfValue(value), hashTypeOf(value.type)?.base ?? ''),
  )
  if (moving === undefined) return { kind: 'engine', questions: missing }
  return {
    kind: 'refused',
    plan: {
      kind: 'unsupported',
      code: '0A000',
      message: `'${textOfValue(moving)}' as a parameter cannot be placed: it means another moment on every segment`,
      hint: 'Give the time itself, or write now() in the statement.',
    },
  }
}

/** The value of a key part in one execution. */
export function keyValue(
  part: KeyPart,
  literals: readonly string[],
  params: readonly ParamValue[],
): KeyValue {
  switch (part.source) {
    case 'constant':
      return { value: part.text, format: 0, type: part.type }
    case 'literal': {
      const text = literals[part.index] as string
      return { value: part.negative ? `-${text}` : text, format: 0, type: part.type }
    }
    case 'param': {
      const param = params[part.number - 1]
      if (param === undefined)
        throw new RangeError(`there is no parameter $${part.number}: ${params.length} bound`)
      return { value: param.value, format: param.format, type: part.type, paramType: part.paramType }
    }
  }
}

function textOfValue(value: KeyValue): string {
  return typeof value.value === 'string' ? value.value : Buffer.from(value.value ?? []).toString('utf8')
}

/** Random rows: few to one content, many in even blocks to all, beginning anywhere. */
function spread(count: number, input: RouteInput): number[] {
  const first = input.pickContent()
  const block = Math.max(16, Math.ceil(count / input.segmentCount))
  return Array.from({ length: count }, (_, row) => (first + Math.floor(row / block)) % input.segmentCount)
}

function byContent(contents: readonly number[]): [number, number[]][] {
  const map = new Map<number, number[]>()
  contents.forEach((content, row) => {
    const rows = map.get(content)
    if (rows === undefined) map.set(content, [row])
    else rows.push(row)
  })
  return [...map].sort((a, b) => a[0] - b[0])
}

function routed<T>(value: T): { readonly kind: 'routed'; readonly value: T } {
  return { kind: 'routed', value }
}
