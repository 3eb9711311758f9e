/** COPY table FROM STDIN: the client's rows are split by content and loaded in one distributed transaction. */
import { commandComplete } from '@mirabelle/pgwire'
import type { CopyInPlan } from '@mirabelle/sql'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { undone } from '../dtx/undone.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { SqlError } from '../errors.ts'
import { asBuffer, AnswerStream } from '../execute/answer-stream.ts'
import { hold } from '../execute/hold.ts'
import { PlanOutdated } from '../execute/outdated.ts'
import { runLocal, translate } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import type { CopyChannel } from './copy-channel.ts'
import { loadRows } from './load-rows.ts'

const SAVEPOINT = 'mirabelle_evaluate'
const COPY_DONE = Uint8Array.of(0x63, 0, 0, 0, 4)

export async function copyIn(scope: Scope, plan: CopyInPlan): Promise<void> {
  const channel = scope.openCopyIn(plan.columns.length)
  const own = scope.transaction === undefined ? scope.services.dispatcher.begin() : undefined
  const transaction = scope.transaction ?? (own as DistributedTransaction)
  try {
    const count = await load(scope, transaction, plan, channel)
    await own?.commit()
    scope.sink.send(commandComplete(`COPY ${count}`))
  } catch (error) {
    channel.abandon()
    // Its client has been told to send, and cannot be told again.
    throw error instanceof PlanOutdated ? undone(error.message) : translate(scope, error)
  } finally {
    if (own?.ended === false) await own.rollback()
  }
}

async function load(
  scope: Scope,
  transaction: DistributedTransaction,
  plan: CopyInPlan,
  channel: CopyChannel,
): Promise<number> {
  const { dataContents } = scope.services.dispatcher
  if (plan.evaluate === undefined) {
    await hold(scope, transaction, dataContents)
    return loadRows({ ...scope, transaction }, transaction, plan, pieces(scope, channel))
  }
  const rows = await evaluate(scope, plan.evaluate, channel)
  await hold(scope, transaction, dataContents)
  const then = { ...scope, transaction, settings: scope.transportSettings }
  return loadRows(then, transaction, plan.evaluate.then, rows)
}

async function* pieces(scope: Scope, channel: CopyChannel): AsyncGenerator<Uint8Array> {
  for (;;) {
    scope.slot.set(() => channel.interrupt(scope.slot.error()))
    const piece = await channel.next()
    scope.slot.set(undefined)
    if (piece === undefined) return
    yield piece
  }
}

/** Missing columns are filled on the coordinator: through its own, empty table and out again. */
async function evaluate(
  scope: Scope,
  plan: NonNullable<CopyInPlan['evaluate']>,
  channel: CopyChannel,
): Promise<Uint8Array[]> {
  const data: Uint8Array[] = []
  let bytes = 0
  for await (const piece of pieces(scope, channel)) {
    bytes += piece.length
    if (bytes > scope.gatherLimitBytes) {
      throw new SqlError(
        '53400',
        `COPY has more than gather_limit (${scope.gatherLimitBytes} bytes) of rows whose columns are filled on the coordinator`,
        {
          hint: 'Load in several COPY commands, give all columns, or raise gather_limit.',
        },
      )
    }
    data.push(copyData(piece))
  }
  const inside = scope.transaction?.hasBegunOn(-1) === true
  const result = await runLocal(scope, {
    bytes: Buffer.concat([
      ...(inside ? [queryMessage(`SAVEPOINT ${SAVEPOINT}`)] : []),
      queryMessage(plan.copySql),
      ...data,
      COPY_DONE,
      queryMessage(plan.readSql),
      queryMessage(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`),
      queryMessage(inside ? `RELEASE SAVEPOINT ${SAVEPOINT}` : 'COMMIT'),
    ]),
    syncs: inside ? 5 : 4,
    settings: scope.settings,
    write: true,
    ...(inside ? {} : { lead: ['BEGIN READ WRITE', `SAVEPOINT ${SAVEPOINT}`] }),
  })
  const rows: Uint8Array[] = []
  new AnswerStream((type, all, start, end) => {
    if (type === 0x64) rows.push(all.subarray(start + 5, end))
  }).push(asBuffer(result.output))
  return rows
}

function copyData(piece: Uint8Array): Uint8Array {
  const message = Buffer.allocUnsafe(piece.length + 5)
  message[0] = 0x64
  message.writeUInt32BE(piece.length + 4, 1)
  message.set(piece, 5)
  return message
}
