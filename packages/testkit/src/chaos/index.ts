export { runChaos, type ChaosOptions, type ChaosResult } from './run-chaos.ts'
export { summaryLines, type RunSummary } from './report/summary.ts'
export { readHistory } from './history/history.ts'
export type { Op } from './history/op.ts'
