export { inSync, TestCluster, type CatalogRow } from './test-cluster.ts'
export { isFaultless, Ledger, type Outcome, type Unit, type Verdict } from './ledger.ts'
export {
  connectToAny,
  contentOf,
  describeError,
  outcomeOf,
  Writers,
  type Address,
  type WriteKind,
  type WritersOptions,
} from './writers.ts'
export { LogWatch } from './log-watch.ts'
export { pause, waitFor } from './wait-for.ts'
export { describeVerdict, Load, type LoadOptions } from './load.ts'
export { FaultPoints, PROMOTION_POINTS, type FaultOptions, type FaultTarget } from './fault-points.ts'
export { BitFlipper } from './bit-flipper.ts'
export { processesBelow } from './processes-below.ts'
export { filesWith, openToOthers } from './private-files.ts'
export { inOwnNamespace, isInOwnNamespace, SmallDisk, whyNoNamespace } from './small-disk.ts'
