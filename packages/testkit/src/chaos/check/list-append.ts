/**
 * Are list-append transactions strictly serializable? Lists only grow at their end, so a read tells the whole order of the writes before it; from those orders comes
 * a graph of what must be before what, and a cycle in it is what cannot be. Pure.
 */
import { callsOf, type Op } from '../history/op.ts'
import { countOutcomes, fewOfEachKind, type Anomaly, type Verdict } from './anomaly.ts'
import { dependencyGraph } from './append-graph.ts'
import { readVersions } from './append-reads.ts'
import { readTransactions, tell, type Appends } from './append-transactions.ts'
import { findCycles, type Cycle } from './cycles.ts'

export function checkListAppend(ops: readonly Op[]): Verdict {
  const appends = readTransactions(ops)
  const versions = readVersions(appends)
  const cycles = findCycles(dependencyGraph(appends, versions))
  const hasFinal = appends.transactions.some(({ call }) => call.final && call.outcome === 'ok')
  return {
    workload: 'append',
    anomalies: fewOfEachKind([...versions.anomalies, ...cycles.map((cycle) => cycleAnomaly(cycle, appends))]),
    undecided: hasFinal ? [] : ['append: there is no final read'],
    counts: countOutcomes(callsOf(ops, 'append')),
  }
}

function cycleAnomaly({ kind, steps }: Cycle, { transactions }: Appends): Anomaly {
  const members = steps.flatMap(({ from }) => transactions[from] ?? [])
  const names = [...members, ...members.slice(0, 1)].map(({ node }) => `T${node}`)
  return {
    workload: 'append',
    kind,
    summary: `${names.join(' before ')}: each must come before the next`,
    story: [
      ...members.map(tell),
      ...steps.map(
        ({ edge }, place) => `${place === steps.length - 1 ? 'but' : 'and'} ${edge.because()} (${edge.kind})`,
      ),
    ],
    timesMs: members.map(({ call }) => (call.endedMs === Infinity ? call.invokedMs : call.endedMs)),
  }
}
