/** INSERT … VALUES whose rows are placed from the text: one content gets the statement as it is, several get their rows. */
import type { InsertPart, InsertPlan, PlannedStatement } from '@mirabelle/sql'
import { routeInsert } from '@mirabelle/sql'
import { AnswerRelay } from './answer-relay.ts'
import { routeWith } from './routing.ts'
import { runOn } from './run-on.ts'
import type { Scope } from './scope.ts'
import { messagesFor, type Bound } from './statement.ts'

export async function insert(
  scope: Scope,
  planned: PlannedStatement & { readonly plan: InsertPlan },
  bound: Bound | undefined,
): Promise<void> {
  const parts = await routeWith(scope, bound, (input) => routeInsert(planned, input))
  await runParts(scope, parts, bound)
}

/** Runs the parts of an INSERT as one statement. */
export async function runParts(
  scope: Scope,
  parts: readonly InsertPart[],
  bound: Bound | undefined,
): Promise<void> {
  const everywhere = parts[0]?.content === 'all'
  const contents = everywhere
    ? scope.services.dispatcher.dataContents
    : parts.map((part) => part.content as number)
  const relay = await runOn(scope, contents, {
    write: true,
    part: (content) => {
      const part = everywhere ? parts[0] : parts.find((one) => one.content === content)
      return { bytes: messagesFor((part as InsertPart).sql, bound) }
    },
    relay: () =>
      new AnswerRelay(scope.sink, {
        describe: scope.describe,
        ...(everywhere ? { answerOf: contents[0] as number } : {}),
      }),
  })
  relay.finish()
}
