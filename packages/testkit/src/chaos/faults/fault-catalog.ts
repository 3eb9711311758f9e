/** All faults by name. Each is described for `--help` and docs/chaos.md, and drawn with its weight. */
import type { SimRandom } from '../../sim/sim-random.ts'
import { administratorFaults } from './administrator-faults.ts'
import { agentFaults } from './agent-faults.ts'
import { commitFaults } from './commit-faults.ts'
import { coordinatorFaults } from './coordinator-faults.ts'
import { damageFaults } from './damage-faults.ts'
import type { Fault } from './fault.ts'
import { networkFaults } from './network-faults.ts'
import { pointFaults } from './point-faults.ts'
import { powerFaults } from './power-faults.ts'
import { secondProcessFaults } from './second-process.ts'
import { segmentFaults } from './segment-faults.ts'

const all = {
  ...segmentFaults,
  ...coordinatorFaults,
  ...commitFaults,
  ...pointFaults,
  ...powerFaults,
  ...agentFaults,
  ...damageFaults,
  ...secondProcessFaults,
  ...networkFaults,
  ...administratorFaults,
}

export type FaultName = keyof typeof all
export const faults: Readonly<Record<FaultName, Fault>> = all
export const faultNames = Object.keys(all) as readonly FaultName[]
/** What can be done to hosts that are one machine. */
export const loopbackFaultNames = faultNames.filter((name) => faults[name].needsNetwork !== true)

/** One of the names, by their weights. */
export function drawFault(names: readonly FaultName[], random: SimRandom): FaultName {
  const total = names.reduce((sum, name) => sum + faults[name].weight, 0)
  let left = random.between(0, total)
  for (const name of names) {
    left -= faults[name].weight
    if (left < 0) return name
  }
  return names[names.length - 1] as FaultName
}
