/** Which faults a seed has, and when: drawn before the first one begins, so that a run can be repeated with some of them left out. Pure. */
import type { SimRandom } from './sim-random.ts'

/** The kinds of faults and how often each is drawn. */
const WEIGHTS = {
  killPrimary: 7,
  killMirror: 3,
  killAny: 2,
  killCoordinator: 3,
  killAll: 1,
  killAgent: 1,
  pauseInstance: 4,
  pauseCoordinator: 1,
  pauseHost: 2,
  unrecorded: 2,
  restartBackend: 3,
  loseAnswers: 4,
  loseParticipant: 5,
  leaveStandbyBehind: 2,
  loseLane: 2,
  replaceCoordinator: 3,
  orderTooLate: 3,
  failWhileCatchingUp: 4,
  failWhileCopying: 3,
  failWhileRefreshing: 3,
  loseBase: 2,
  failWhilePromoting: 3,
  failWhileStarting: 2,
  hungRecovery: 1,
  shortRecovery: 1,
  atMessage: 14,
  atDiskOperation: 6,
  command: 6,
  power: 2,
  cut: 2,
  cutOneWay: 3,
  flap: 2,
  isolate: 2,
  split: 4,
  reset: 2,
  slowLink: 3,
  slowDisk: 2,
  hangDisk: 2,
  failSync: 1,
  fullDisk: 2,
  lyingDisk: 1,
  corruptWal: 2,
  lateCertificates: 1,
  wallClock: 1,
  clockDrift: 1,
} as const

export type FaultKind = keyof typeof WEIGHTS
export const faultKinds = Object.keys(WEIGHTS) as readonly FaultKind[]

/** What may happen beside a disk that lies: nothing that needs the copy which that disk has lost. */
const BESIDE_LIES: readonly FaultKind[] = ['killCoordinator', 'pauseCoordinator', 'wallClock', 'clockDrift']

export interface PlannedFault {
  readonly kind: FaultKind
  readonly atMs: number
  /** How long it lasts, when it is one that ends by itself. */
  readonly forMs: number
  /** What is drawn when it begins (whom it hits) comes from here, whatever the other faults are. */
  readonly seed: number
}

export interface FaultPlan {
  /** Most faults hit the instances of this content and their hosts; undefined: anybody. */
  readonly focus: number | undefined
  readonly faults: readonly PlannedFault[]
}

export interface PlanLimits {
  readonly count: number
  readonly withinMs: number
  readonly contents: readonly number[]
  readonly kinds?: readonly FaultKind[]
}

/** So many faults within the time. Every second follows closely on the one before. */
export function planFaults(random: SimRandom, limits: PlanLimits): FaultPlan {
  const { count, withinMs, contents, kinds = faultKinds } = limits
  const focus = random.chance(0.6) ? random.pick(contents) : undefined
  const faults: PlannedFault[] = []
  let bag = bagOf(kinds)
  let atMs = 0
  while (faults.length < count) {
    const kind = random.pick(bag)
    atMs =
      faults.length > 0 && random.chance(0.5) ? atMs + random.between(0, 800) : random.between(0, withinMs)
    faults.push({
      kind,
      atMs,
      forMs: random.chance(0.5) ? random.between(20, 1_500) : random.between(1_500, 8_000),
      seed: random.below(2 ** 31),
    })
    if (kind !== 'lyingDisk') continue
    faults.splice(0, faults.length - 1)
    bag = bagOf(BESIDE_LIES)
  }
  return { focus, faults: faults.sort((a, b) => a.atMs - b.atMs) }
}

function bagOf(kinds: readonly FaultKind[]): FaultKind[] {
  return kinds.flatMap((kind) => Array<FaultKind>(WEIGHTS[kind]).fill(kind))
}
