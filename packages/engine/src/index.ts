export * from './dispatched.ts'
export * from './engine-port.ts'
export * from './errors.ts'
export * from './options.ts'
export * from './statement-failure.ts'
export { createEngine } from './create-engine.ts'
export {
  BLOCK_BYTES,
  instancePaths,
  WAL_PAGE_BYTES,
  WAL_SEGMENT_BYTES,
  type InstancePaths,
} from './layout.ts'
export { parseBackupLabel, parseControlFile, readControlFile, type ControlFile } from './control-file.ts'
export * from './base-backup.ts'
export * from './process-options.ts'
export { prepareMirror } from './host/engine-thread.ts'
export { PgliteEngine } from './pglite-engine.ts'
export { lockFolder, lockHolder, type FolderLock } from './lock.ts'
export { cloneTemplate, createTemplate, type TemplateOptions } from './template/template.ts'
