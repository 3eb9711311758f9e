/**
 * What is known of a prepared text: its plan, the types of its parameters, its columns. The coordinator's PostgreSQL is asked once for each
 * text (Parse and Describe); all sessions share the answers.
 */
import { createHash } from 'node:crypto'
import {
  encodeDescribe,
  encodeParse,
  fieldsOf,
  parameterTypesOf,
  rowDescription,
  SYNC,
  textField,
  type FieldDescription,
} from '@mirabelle/pgwire'
import type { Plan, PlannedStatement, SessionAction } from '@mirabelle/sql'
import type { StatementUse } from '../lanes/lane-item.ts'
import { portableTypes } from '../execute/statement.ts'
import { runLocal } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import { refusal } from '../execute/refusal.ts'

export interface Described {
  /** Catalog version and settings for which this holds. */
  readonly version: number
  readonly settingsKey: string
  readonly planned: PlannedStatement
  /** Type OIDs of the parameters. */
  readonly types: readonly number[]
  /** Columns in text format; undefined: it returns no rows. */
  readonly fields: readonly FieldDescription[] | undefined
  /** The statement on segments. */
  readonly use: StatementUse
  /** RowDescription by the result formats of the Bind, made once each. */
  readonly descriptions: Map<string, Buffer>
}

const MAX_KEPT = 5_000

/** Answers by text, types, schema and settings. One a coordinator. */
export class DescribeCache {
  readonly #known = new Map<string, Described>()

  find(key: string): Described | undefined {
    return this.#known.get(key)
  }

  keep(key: string, described: Described): void {
    if (this.#known.size >= MAX_KEPT) {
      // The older half goes.
      let count = this.#known.size / 2
      for (const old of this.#known.keys()) {
        if (count-- <= 0) break
        this.#known.delete(old)
      }
    }
    this.#known.set(key, described)
  }
}

export function describeKey(
  text: string,
  types: readonly number[],
  version: number,
  settingsKey: string,
): string {
  return `${version}\u0001${settingsKey}\u0001${types.join()}\u0001${text}`
}

/** Kinds whose text PostgreSQL itself understands, so that it can describe it. */
function isDescribable(plan: Plan): boolean {
  switch (plan.kind) {
    case 'coordinator':
    case 'direct':
    case 'pushdown':
    case 'gathered':
    case 'insert':
    case 'insertEvaluated':
    case 'explain':
      return true
    default:
      return false
  }
}

/** Plans a text and has it described. `actionFields` tells the columns of session actions. */
export async function describe(
  scope: Scope,
  text: string,
  declared: readonly number[],
  actionFields: (action: SessionAction) => readonly FieldDescription[] | undefined,
): Promise<Described> {
  const { planner, schema } = scope.services
  const view = scope.view()
  const first = planner.planOne(text, view)
  if (first.plan.kind === 'unsupported') throw refusal(first.plan)
  if (!isDescribable(first.plan)) {
    const fields = first.plan.kind === 'session' ? actionFields(first.plan.action) : undefined
    return made(scope, text, view.version, first, [], fields)
  }
  const result = await runLocal(scope, {
    bytes: Buffer.concat([
      encodeParse({ query: first.sql, parameterTypes: declared }),
      encodeDescribe({ kind: 'S', name: '' }),
      SYNC,
    ]),
    syncs: 1,
    write: false,
  })
  const types = parameterTypesOf(result.output) ?? []
  const planned =
    types.length === 0
      ? first
      : planner.planOne(
          text,
          view,
          types.map((oid) => schema.snapshot.typeName(oid)),
        )
  if (planned.plan.kind === 'unsupported') throw refusal(planned.plan)
  return made(scope, text, view.version, planned, types, fieldsOf(result.output))
}

function made(
  scope: Scope,
  text: string,
  version: number,
  planned: PlannedStatement,
  types: readonly number[],
  fields: readonly FieldDescription[] | undefined,
): Described {
  const name = `m_${createHash('sha1').update(`${version}\0${types.join()}\0${text}`).digest('base64url').slice(0, 22)}`
  const parse = encodeParse({ statement: name, query: planned.sql, parameterTypes: portableTypes(types) })
  return {
    version,
    settingsKey: scope.settings.key,
    planned,
    types,
    fields,
    use: { name, parse },
    descriptions: new Map(),
  }
}

/** RowDescription with the formats that a Bind asked for. */
export function describedRows(described: Described, formats: readonly number[]): Buffer | undefined {
  const { fields, descriptions } = described
  if (fields === undefined) return undefined
  const key = formats.join()
  let bytes = descriptions.get(key)
  if (bytes === undefined) {
    bytes = rowDescription(
      fields.map((field, i) => ({
        ...field,
        format: (formats.length === 1 ? formats[0] : formats[i]) ?? 0,
      })),
    )
    descriptions.set(key, bytes)
  }
  return bytes
}

/** One text column. */
export function oneTextColumn(name: string): readonly FieldDescription[] {
  return [textField(name)]
}
