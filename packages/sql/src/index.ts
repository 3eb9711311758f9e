export type * from './catalog.ts'
export type * from './plan.ts'
