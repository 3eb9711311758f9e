export type * from './catalog.ts'
export type * from './plan.ts'
export { Planner, type PlannerOptions } from './planner.ts'
export { describePlan } from './plan-explain.ts'
export { choosePolicy, checkUniqueIndexes, type PolicyChoice } from './choose-policy.ts'
export { bodyTouchesTables } from './analysis/function-body.ts'
export {
  buildInsertParts,
  keyValue,
  routeDirect,
  routeInsert,
  type InsertPart,
  type ParamValue,
  type RouteInput,
  type Routed,
} from './route.ts'
export {
  contentOfKey,
  distributionHash,
  type EngineHash,
  type EngineHashes,
  type KeyValue,
} from './hash/distribution-hash.ts'
export { hashTypeOf, type HashFamily, type HashType } from './hash/hash-type.ts'
export { jumpHash } from './hash/combine.ts'
export {
  ALL_CONTENTS,
  ANY_CONTENT,
  CopyRowSplitter,
  MAX_ROW_BYTES,
  type CopyRowEvents,
} from './copy/copy-row-splitter.ts'
export { substituteParams } from './lex/edits.ts'
export { SHOWN_BESIDES } from './shown-settings.ts'
export { qualifiedName, quoteIdentifier, quoteLiteral } from './lex/identifiers.ts'
