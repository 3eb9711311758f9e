/** How a Node process that hosts an engine is best started; measured, see README. For whoever spawns instances (the agent). */

/**
 * PostgreSQL's WebAssembly is optimised by V8's helper threads, each of which leaves tens of MB in an allocator arena of its own.
 * One helper and few arenas bring an instance from some 200 MB to some 160 MB resident.
 */
export const ENGINE_PROCESS_OPTIONS = {
  execArgv: ['--v8-pool-size=1'],
  env: { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' },
} as const
