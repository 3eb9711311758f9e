export * from './fts-ports.ts'
export { createFtsProber } from './fts-prober.ts'
export { ftsContentMachine } from './fts-content.machine.ts'
export { adviceFor } from './fts-advice.ts'
