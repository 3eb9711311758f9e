/** EXPLAIN: our plan above PostgreSQL's own for the part that runs somewhere. */
import { commandComplete, dataRow, rowDescription, rowsOf, textField } from '@mirabelle/pgwire'
import { routeDirect, routeInsert, type ExplainPlan, type PlannedStatement } from '@mirabelle/sql'
import { checked, runInside, runLocal } from './run-on.ts'
import { hold } from './hold.ts'
import { routeWith } from './routing.ts'
import { pickAnyContent } from './pass-through.ts'
import type { Scope } from './scope.ts'
import { messagesFor, type Bound } from './statement.ts'
import { refusal } from './refusal.ts'

export const EXPLAIN_FIELDS = rowDescription([textField('QUERY PLAN')])

export async function explain(scope: Scope, plan: ExplainPlan, bound: Bound | undefined): Promise<void> {
  const { planned } = plan
  if (planned.plan.kind === 'unsupported') throw refusal(planned.plan)
  const content = await partOf(scope, planned, bound)
  const lines = plan.format === 'text' ? [...plan.lines] : []
  if (content !== undefined) {
    const own = await explainOn(scope, content, `${plan.prefix} ${planned.sql}`, bound, plan.analyze)
    if (plan.format === 'text') lines.push(content === -1 ? 'Coordinator:' : `Segment ${content}:`)
    lines.push(...own.map((line) => (plan.format === 'text' ? `  ${line}` : line)))
  }
  if (scope.describe) scope.sink.send(EXPLAIN_FIELDS)
  for (const line of lines) scope.sink.send(dataRow([line]))
  scope.sink.send(commandComplete('EXPLAIN'))
}

/** The content whose own EXPLAIN is shown. */
async function partOf(
  scope: Scope,
  planned: PlannedStatement,
  bound: Bound | undefined,
): Promise<number | undefined> {
  const { plan } = planned
  const { dataContents } = scope.services.dispatcher
  switch (plan.kind) {
    case 'direct':
      return routeWith(scope, bound, (input) => routeDirect({ ...planned, plan }, input))
    case 'insert': {
      const parts = await routeWith(scope, bound, (input) => routeInsert({ ...planned, plan }, input))
      const first = parts[0]?.content
      return first === 'all' || first === undefined ? dataContents[0] : first
    }
    case 'pushdown':
      return pickAnyContent(scope, dataContents)
    case 'coordinator':
      return -1
    // Over the coordinator's own, empty tables: the shape of the final query.
    case 'gathered':
      return -1
    default:
      return undefined
  }
}

async function explainOn(
  scope: Scope,
  content: number,
  sql: string,
  bound: Bound | undefined,
  write: boolean,
): Promise<string[]> {
  const item = {
    bytes: messagesFor(sql, bound === undefined ? undefined : { ...bound, resultFormats: [] }),
    syncs: 1,
    write,
  }
  const { transaction, services } = scope
  if (content === -1) return linesOf((await runLocal(scope, item)).output)
  if (transaction !== undefined) {
    await hold(scope, transaction, [content])
    return linesOf((await runInside(scope, transaction, content, item)).output)
  }
  return linesOf(
    (await checked(scope, services.dispatcher.runOne(content, { ...item, settings: scope.settings }))).output,
  )
}

function linesOf(output: Uint8Array): string[] {
  return rowsOf(output).map((row) => row[0] ?? '')
}
