/** From a plan to contents, asking the coordinator's engine for hashes that TypeScript cannot compute. */
import { encodeBind, encodeExecute, encodeParse, resultsOf, SYNC } from '@mirabelle/pgwire'
import type { EngineHash, EngineHashes, RouteInput, Routed } from '@mirabelle/sql'
import { refusal } from './refusal.ts'
import { runLocal } from './run-on.ts'
import type { Scope } from './scope.ts'
import type { Bound } from './statement.ts'

let turn = 0

/** Contents for randomly distributed rows, in turn. */
export function pickContent(segmentCount: number): number {
  turn = (turn + 1) % segmentCount
  return turn
}

export function routeInputOf(
  segmentCount: number,
  bound: Bound | undefined,
  hashes?: EngineHashes,
): RouteInput {
  return {
    segmentCount,
    pickContent: () => pickContent(segmentCount),
    ...(bound === undefined ? {} : { params: bound.params }),
    ...(hashes === undefined ? {} : { hashes }),
  }
}

/** Asks until it is known where. Rejects with what the engine says of a value that is none of its type. */
export async function routeWith<T>(
  scope: Scope,
  bound: Bound | undefined,
  route: (input: RouteInput) => Routed<T>,
): Promise<T> {
  const { segmentCount } = scope.view()
  let hashes: Map<string, bigint> | undefined
  for (;;) {
    const routed = route(routeInputOf(segmentCount, bound, hashes))
    if (routed.kind === 'routed') return routed.value
    if (routed.kind === 'refused') throw refusal(routed.plan)
    hashes = new Map([...(hashes ?? []), ...(await askEngine(scope, routed.questions))])
  }
}

/** Has the coordinator's engine compute hashes, all in one go. */
export async function askEngine(
  scope: Scope,
  questions: readonly EngineHash[],
): Promise<Map<string, bigint>> {
  const { schema } = scope.services
  const bytes = questions.flatMap((question) => [
    encodeParse({
      query: question.sql,
      parameterTypes:
        question.paramType === undefined ? [] : [schema.snapshot.typeOid(question.paramType) ?? 0],
    }),
    encodeBind({ parameterFormats: [question.format], parameters: [question.value] }),
    encodeExecute(),
  ])
  const result = await runLocal(scope, { bytes: Buffer.concat([...bytes, SYNC]), syncs: 1, write: false })
  const rows = resultsOf(result.output).map((one) => one.rows[0]?.[0])
  return new Map(questions.map((question, i) => [question.id, BigInt(rows[i] ?? 0)]))
}
