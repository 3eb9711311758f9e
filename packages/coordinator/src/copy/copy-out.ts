/** COPY … TO STDOUT: the data of all contents as one stream; a query that needs gathering runs on the coordinator. */
import { Backend, forEachWholeMessage } from '@mirabelle/pgwire'
import type { CopyOutPlan } from '@mirabelle/sql'
import { AnswerRelay } from '../execute/answer-relay.ts'
import { pickAnyContent } from '../execute/pass-through.ts'
import { asBuffer } from '../execute/answer-stream.ts'
import { runLocal, runOn } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import type { Bound } from '../execute/statement.ts'
import { readGathered } from '../gather/gathered.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'

export async function copyOut(scope: Scope, plan: CopyOutPlan, bound: Bound | undefined): Promise<void> {
  if (plan.from === 'coordinator') {
    const relay = await readGathered(scope, plan.gather, bound, plan.segmentSql)
    return relay.finish()
  }
  const all = scope.services.dispatcher.dataContents
  const contents = plan.from === 'any' ? [pickAnyContent(scope, all)] : all
  const headed = plan.segmentSql !== plan.headerlessSql
  if (headed) await sendHeader(scope, plan.segmentSql)
  const bytes = queryMessage(plan.headerlessSql)
  const relay = await runOn(scope, contents, {
    write: false,
    part: () => ({ bytes }),
    relay: () => new AnswerRelay(scope.sink, { describe: false, copyBegun: headed }),
  })
  relay.finish()
}

/** The header line comes from the coordinator, whose own tables are empty. */
async function sendHeader(scope: Scope, sql: string): Promise<void> {
  const result = await runLocal(scope, { bytes: queryMessage(sql), syncs: 1, write: false })
  const output = asBuffer(result.output)
  forEachWholeMessage(output, (type, start, end) => {
    if (type === Backend.copyOutResponse || type === Backend.copyData)
      scope.sink.send(output.subarray(start, end))
  })
}
