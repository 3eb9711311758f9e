export * from './lsn.ts'
