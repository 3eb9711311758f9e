/** One statement that is to be carried out: its plan, and its parameters when it came through the extended protocol. */
import { encodeBind, encodeExecute, encodeParse, SYNC, type BindFields } from '@mirabelle/pgwire'
import { substituteParams, type ParamValue, type PlannedStatement } from '@mirabelle/sql'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import type { SchemaSnapshot } from '../schema/schema-snapshot.ts'
import { SqlError } from '../errors.ts'

/** Values bound to $1, $2, … */
export interface Bound {
  /** Type OIDs of all parameters, as the coordinator's PostgreSQL resolved them. */
  readonly types: readonly number[]
  readonly params: readonly ParamValue[]
  readonly resultFormats: readonly number[]
}

export interface Statement {
  readonly planned: PlannedStatement
  /** undefined: a simple Query. */
  readonly bound: Bound | undefined
}

/** OIDs from here on differ between instances. */
const FIRST_NORMAL_OID = 16384

/** The parameters of a Bind message, each with its format. */
export function paramsOf(fields: BindFields): ParamValue[] {
  const { parameterFormats: formats } = fields
  return fields.parameters.map((value, i) => ({
    value,
    format: (formats.length === 0 ? 0 : formats.length === 1 ? formats[0] : formats[i]) === 1 ? 1 : 0,
  }))
}

/** Type OIDs as they may be told to any instance: those of users' types are left open. */
export function portableTypes(types: readonly number[]): number[] {
  return types.map((oid) => (oid < FIRST_NORMAL_OID ? oid : 0))
}

/** Frontend messages that run `sql` with the statement's parameters; they lead to one ReadyForQuery. */
export function messagesFor(sql: string, bound: Bound | undefined): Uint8Array {
  if (bound === undefined) return queryMessage(sql)
  return Buffer.concat([
    encodeParse({ query: sql, parameterTypes: portableTypes(bound.types) }),
    encodeBind({
      parameterFormats: bound.params.map((param) => param.format),
      parameters: bound.params.map((param) => param.value),
      resultFormats: bound.resultFormats,
    }),
    encodeExecute(),
    SYNC,
  ])
}

/** A text that takes no parameters, with the values put in. */
export function withParams(sql: string, bound: Bound | undefined, schema: SchemaSnapshot): string {
  if (bound === undefined || bound.params.length === 0) return sql
  const values = bound.params.map(({ value, format }) => {
    if (value === null || typeof value === 'string') return value
    if (format === 1) {
      throw new SqlError('0A000', 'binary parameters are not supported in a statement that is gathered', {
        hint: 'Send the parameters as text.',
      })
    }
    return Buffer.from(value).toString('utf8')
  })
  return substituteParams(
    sql,
    values,
    bound.types.map((oid) => schema.typeName(oid) ?? 'text'),
  )
}
