/** List-append histories as Elle reads them (its command line takes EDN, one map a line, or one JSON array). */
import type { Json, MicroOp, Op } from './op.ts'

const NS_PER_MS = 1e6

/** The operations of the list-append workload as EDN. */
export function elleEdn(ops: readonly Op[]): string {
  return listAppend(ops)
    .map(
      (op) =>
        `{:index ${op.index}, :type :${op.type}, :process ${op.process}, :time ${timeOf(op)}, :f :txn, ` +
        `:value [${microOps(op.value).map(edn).join(' ')}]}\n`,
    )
    .join('')
}

/** The same as one JSON array. */
export function elleJson(ops: readonly Op[]): string {
  const lines = listAppend(ops).map((op) =>
    JSON.stringify({
      index: op.index,
      type: op.type,
      process: op.process,
      time: timeOf(op),
      f: 'txn',
      value: op.value,
    }),
  )
  return `[\n${lines.join(',\n')}\n]\n`
}

/** Numbered anew without gaps: Elle takes an index for a place. */
function listAppend(ops: readonly Op[]): Op[] {
  return ops.filter(({ workload }) => workload === 'append').map((op, index) => ({ ...op, index }))
}

function timeOf({ timeMs }: Op): number {
  return Math.round(timeMs * NS_PER_MS)
}

function microOps(value: Json): readonly MicroOp[] {
  return value as readonly MicroOp[]
}

function edn(micro: MicroOp): string {
  if (micro[0] === 'append') return `[:append ${micro[1]} ${micro[2]}]`
  return `[:r ${micro[1]} ${micro[2] === null ? 'nil' : `[${micro[2].join(' ')}]`}]`
}
