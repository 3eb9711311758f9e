/**
 * Sizes of tables and indexes whose rows are on the segments: each segment says its own, the coordinator adds them up. Its own files of such a
 * table are empty. Only where the relation is named; over pg_class the functions tell the sizes of the coordinator's files.
 */
import { constantText } from './analysis/constants.ts'
import type { FunctionUse } from './analysis/survey.ts'
import type { Ast } from './ast.ts'
import type { TableInfo } from './catalog.ts'
import type { PlanContext } from './context.ts'
import { temporaryTable, gatherStep } from './gather-step.ts'
import { applyEdits, type Edit } from './lex/edits.ts'
import { identifierOf } from './lex/identifiers.ts'
import { callAt, tokenize } from './lex/tokens.ts'
import type { GatheredPlan, GatherStep } from './plan.ts'

const SIZES = new Set(['pg_relation_size', 'pg_table_size', 'pg_indexes_size', 'pg_total_relation_size'])

/** The plan of a SELECT without distributed tables that asks for the size of one; undefined when it asks for none. */
export function planSizes(context: PlanContext): GatheredPlan | undefined {
  const asked = context.survey.functions.flatMap((use) => {
    const table = tableAsked(context, use)
    return table === undefined ? [] : [{ use, table }]
  })
  if (asked.length === 0) return undefined
  const tokens = tokenize(context.sql)
  const steps: GatherStep[] = []
  const edits: Edit[] = asked.map(({ use, table }, i) => {
    const { start, end } = callAt(context.sql, tokens, context.at(use.call.location as number))
    steps.push(
      gatherStep(i + 1, {
        table,
        from: 'all',
        like: 'SELECT 0::pg_catalog.int8 AS size',
        rows: `SELECT ${context.sql.slice(start, end)}`,
      }),
    )
    const sum = `SELECT pg_catalog.sum(size)::pg_catalog.int8 AS ${use.name} FROM ${temporaryTable(i + 1)}`
    return { start, end, text: `(${sum})` }
  })
  return { kind: 'gathered', steps, sql: applyEdits(context.sql, edits) }
}

/** The relation whose size is asked for, if segments have it. Indexes are not in the catalog here: whoever has none of that name says so. */
function tableAsked({ catalog }: PlanContext, { name, info, call }: FunctionUse): TableInfo | undefined {
  const text = constantText(call.args?.[0] as Ast | undefined)
  if (!SIZES.has(name) || info?.userDefined === true || text === undefined || /^\d*$/.test(text))
    return undefined
  const names = tokenize(text)
    .filter(({ kind }) => kind === 'word' || kind === 'quoted')
    .map((token) => identifierOf(text, token))
  const [relation = ''] = names.slice(-1)
  const table = catalog.lookup(names.at(-2), relation)
  if (table !== undefined) return table.policy === undefined ? undefined : table
  const schema = names.at(-2) ?? ''
  if (/^pg_/.test(schema === '' ? relation : schema)) return undefined
  return { oid: 0, schema, name: relation, kind: 'other', columns: [], uniqueIndexes: [] }
}
