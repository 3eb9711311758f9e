/** Statements that run unchanged on contents: kinds 1 (direct) and 2 (pushed down) of sql §5. */
import type { DirectPlan, PlannedStatement, PushdownPlan } from '@mirabelle/sql'
import { routeDirect } from '@mirabelle/sql'
import { AnswerRelay } from './answer-relay.ts'
import { pickContent, routeWith } from './routing.ts'
import { runOn } from './run-on.ts'
import type { Scope } from './scope.ts'
import { messagesFor, type Bound } from './statement.ts'

export async function direct(
  scope: Scope,
  planned: PlannedStatement & { readonly plan: DirectPlan },
  bound: Bound | undefined,
): Promise<void> {
  const content = await routeWith(scope, bound, (input) => routeDirect(planned, input))
  const bytes = messagesFor(planned.sql, bound)
  const relay = await runOn(scope, [content], {
    write: planned.plan.write,
    part: () => ({ bytes }),
    relay: () => new AnswerRelay(scope.sink, { describe: scope.describe }),
  })
  relay.finish()
}

export async function pushdown(
  scope: Scope,
  sql: string,
  plan: PushdownPlan,
  bound: Bound | undefined,
): Promise<void> {
  const all = scope.services.dispatcher.dataContents
  const contents = plan.oneContentOnly ? [pickAnyContent(scope, all)] : all
  const bytes = messagesFor(sql, bound)
  const relay = await runOn(scope, contents, {
    write: plan.write,
    part: () => ({ bytes }),
    relay: () =>
      new AnswerRelay(scope.sink, {
        describe: scope.describe,
        ...(plan.answerOfOne ? { answerOf: contents[0] as number } : {}),
      }),
  })
  relay.finish()
}

/** One content for what all of them know: one that the transaction holds already, else each in turn. */
export function pickAnyContent(scope: Scope, contents: readonly number[]): number {
  const held = contents.find((content) => scope.transaction?.holds(content) === true)
  return held ?? (contents[pickContent(contents.length)] as number)
}
