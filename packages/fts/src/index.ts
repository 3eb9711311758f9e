export * from './fts-ports.ts'
