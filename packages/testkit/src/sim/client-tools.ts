/** What the workloads of simulated clients have in common: statements, answers, and how they make way for role changes. */
import { NO_SETTINGS, SqlError, type LaneItem } from '@mirabelle/coordinator/ha'
import { queryBytes, readAnswer } from './pg-bytes.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import type { SimRandom } from './sim-random.ts'

/** How something that may hold the coordinator's lane ends as undone when a role change needs that lane and it waits, or is between two statements. */
export class Way {
  isAsked = false
  readonly leave: () => void
  #cancel: (() => void) | undefined

  constructor(coordinator: SimCoordinator) {
    this.leave = coordinator.enterLocal(() => {
      this.isAsked = true
      this.#cancel?.()
    })
  }

  /** The client ends what is under way. */
  cancel(): void {
    this.#cancel?.()
  }

  set(cancel: (() => void) | undefined): void {
    this.#cancel = cancel
  }
}

/** Runs something of a client that makes way, and that it cancels after so long. */
export async function makingWay<T>(
  coordinator: SimCoordinator,
  run: (way: Way) => Promise<T>,
  cancelsMs?: number,
): Promise<T> {
  const way = new Way(coordinator)
  if (cancelsMs !== undefined) coordinator.process.schedule(cancelsMs, () => way.cancel())
  try {
    return await run(way)
  } finally {
    way.leave()
  }
}

/** How often a client cancels a statement. */
const CANCELS = 0.05

/** When a client cancels what it is about to begin, ms after that; undefined: mostly it does not. */
export function drawCancel(random: SimRandom): number | undefined {
  return random.chance(CANCELS) ? random.between(0, random.pick([3, 500])) : undefined
}

export const madeWay = (): SqlError => new SqlError('40001', 'it made way for a change of roles')

/** The content of a list: `c0.1` is list 1 on content 0. */
export function contentOf(list: string): number {
  return Number(list.slice(1, list.indexOf('.')))
}

/** The ids in the answer to `list`. */
export function idsIn(output: Uint8Array): string[] {
  return (readAnswer(output).rows[0] ?? '').split(' ').filter((id) => id !== '')
}

/** One statement of a client. */
export function item(sql: string, write: boolean): Omit<LaneItem, 'whenLost'> {
  return { bytes: queryBytes(sql), syncs: 1, settings: NO_SETTINGS, write }
}

/** The SQLSTATE of an answer that is an error. */
export function errorOf(output: Uint8Array): string | undefined {
  return readAnswer(output).error
}

/** Throws when the coordinator is not open. */
export function dispatcherOf(coordinator: SimCoordinator) {
  const dispatcher = coordinator.service?.dispatcher
  if (dispatcher === undefined) throw new SqlError('57P03', 'the coordinator is not open')
  return dispatcher
}
