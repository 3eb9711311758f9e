/**
 * The shortest way from a message to a segment and back (sql §1): an autocommit statement whose rows are all on one content goes there as the
 * client wrote it, and the answer goes to the client as the segment wrote it. Everything else is left to the general way.
 */
import { BIND_COMPLETE, encodeExecute, PARSE_COMPLETE, SYNC } from '@mirabelle/pgwire'
import { routeDirect, routeInsert, type PlannedStatement, type RouteInput } from '@mirabelle/sql'
import type { LaneRun } from '../lanes/lane-run.ts'
import { isMirabelleError } from '@mirabelle/messages'
import { LaneLost, type LaneItem, type LaneResult } from '../lanes/lane-item.ts'
import { SqlError } from '../errors.ts'
import { PlanOutdated, throwIfOutdated } from '../execute/outdated.ts'
import { lostInAutocommit } from '../execute/hold.ts'
import { routeInputOf } from '../execute/routing.ts'
import type { Bound } from '../execute/statement.ts'
import { describedRows, type Described } from './describe.ts'
import type { SessionState } from './session-state.ts'

/** Where an item goes and how. */
interface Target {
  readonly content: number
  readonly write: boolean
}

const EXECUTE_AND_SYNC = Buffer.concat([encodeExecute(), SYNC])

/** The one content that can run this text unchanged; undefined: take the general way. */
export function targetOf(planned: PlannedStatement, input: RouteInput): Target | undefined {
  const { plan } = planned
  if (plan.kind === 'direct') {
    const routed = routeDirect(planned as PlannedStatement & { plan: typeof plan }, input)
    return routed.kind === 'routed' ? { content: routed.value, write: plan.write } : undefined
  }
  if (plan.kind === 'insert') {
    const routed = routeInsert(planned as PlannedStatement & { plan: typeof plan }, input)
    if (routed.kind !== 'routed' || routed.value.length !== 1) return undefined
    const part = routed.value[0]
    if (part === undefined || part.content === 'all' || part.sql !== planned.sql) return undefined
    return { content: part.content, write: true }
  }
  return undefined
}

/** Runs a simple Query as it is. Undefined when this is no case for the hot path. */
export function runQuery(
  state: SessionState,
  planned: PlannedStatement,
  message: Buffer,
  planAgain: () => Promise<void>,
): Promise<void> | undefined {
  if (planned.rewritten === true) return undefined
  const target = targetOf(planned, routeInputOf(state.services.schema.snapshot.segmentCount, undefined))
  if (target === undefined) return undefined
  state.begins(planned.sql)
  return run(state, target, { bytes: message, syncs: 1 }, undefined, planAgain)
}

/** Runs Bind, Describe of the portal, Execute and Sync of a prepared statement in one item. */
export function runPrepared(
  state: SessionState,
  described: Described,
  bound: Bound,
  bind: Buffer,
  options: { readonly parsed: boolean; readonly describePortal: boolean },
  planAgain: () => Promise<void>,
): Promise<void> | undefined {
  const target = targetOf(described.planned, routeInputOf(state.services.schema.snapshot.segmentCount, bound))
  if (target === undefined) return undefined
  state.begins(described.planned.sql)
  const bytes = Buffer.concat([renamedBind(bind, described.use.name), EXECUTE_AND_SYNC])
  if (options.parsed) state.connection.send(PARSE_COMPLETE)
  const rows = options.describePortal ? describedRows(described, bound.resultFormats) : undefined
  const noRows = options.describePortal && rows === undefined
  const inFront = rows ?? (noRows ? NO_DATA_BYTES : undefined)
  return run(state, target, { bytes, syncs: 1, statement: described.use }, inFront, planAgain)
}

const NO_DATA_BYTES = Buffer.from([0x6e, 0, 0, 0, 4])

/** The same Bind for another statement, and the unnamed portal. */
export function renamedBind(bind: Buffer, statement: string): Buffer {
  const portalEnd = bind.indexOf(0, 5)
  const statementEnd = bind.indexOf(0, portalEnd + 1)
  const restLength = bind.length - statementEnd - 1
  const bytes = Buffer.allocUnsafe(5 + 1 + statement.length + 1 + restLength)
  bytes[0] = 0x42
  bytes.writeUInt32BE(bytes.length - 1, 1)
  bytes[5] = 0
  bytes.write(statement, 6, 'latin1')
  bytes[6 + statement.length] = 0
  bind.copy(bytes, 7 + statement.length, statementEnd + 1)
  return bytes
}

/**
 * Sends the item and passes the answer on. `afterBind`: stands between the BindComplete of the answer and its rows.
 * A read goes out in pieces; it runs again after a failover unless a piece has gone out. `planAgain` takes the general way, when others have changed the schema before it ran.
 */
async function run(
  state: SessionState,
  target: Target,
  item: Pick<LaneItem, 'bytes' | 'syncs' | 'statement'>,
  afterBind: Buffer | undefined,
  planAgain: () => Promise<void>,
): Promise<void> {
  const { connection, services, slot } = state
  const { dispatcher } = services
  const planVersion = services.schema.snapshot.version
  const fits = (): void => throwIfOutdated({ planVersion, services })
  const settings = state.settings.forStatements
  let streamed = false
  const forward = (bytes: Uint8Array) => {
    if (!streamed && afterBind !== undefined && bytes[0] === BIND_COMPLETE[0]) {
      connection.send(BIND_COMPLETE)
      connection.send(afterBind)
      connection.send(bytes.subarray(5))
    } else connection.send(bytes)
    streamed = true
  }
  slot.begin()
  try {
    for (;;) {
      fits()
      const sent: LaneRun = target.write
        ? dispatcher.runOne(target.content, { ...item, settings, fits, write: true })
        : dispatcher.lane(target.content).run({
            ...item,
            settings,
            fits,
            write: false,
            whenLost: 'lookup',
            onOutput: (chunk) => {
              forward(chunk)
              return connection.bufferedBytes > 0 ? connection.drained() : undefined
            },
          })
      slot.set(sent.cancel)
      let result: LaneResult
      try {
        result = await sent.promise
      } catch (error) {
        if (error instanceof LaneLost && error.tookEffect === 'no' && !streamed) continue
        throw error
      }
      forward(result.output)
      return
    }
  } catch (error) {
    if (!(error instanceof PlanOutdated)) return fail(state, error)
  } finally {
    slot.end()
  }
  return planAgain()
}

function fail(state: SessionState, error: unknown): void {
  if (error instanceof LaneLost) state.tell(lostInAutocommit(error))
  else if (isMirabelleError(error, 'cancelled')) state.tell(state.slot.error())
  else state.tell(SqlError.wrap(error))
  state.ready()
}
