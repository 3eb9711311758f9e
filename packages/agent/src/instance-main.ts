/**
 * Entry of an instance process: `node instance-main.js --host-dir FOLDER --start FILE`. Hosts a segment, or the coordinator or its standby for
 * content -1. With `--spare` it was made ahead and reads the name of the file, a line, from its input; when that ends without one it was not needed. Ends with status 0 when it was stopped, 1 when it could not start or had to end, 53 when that is because
 * its disk is full.
 */
import { parseArgs } from 'node:util'
import { createEngine, prepareMirror } from '@mirabelle/engine'
import {
  CONTENT_SETTING,
  COORDINATOR_CONTENT,
  diskFullOr,
  type Assignment,
  type MirabelleError,
} from '@mirabelle/messages'
import {
  allowFaults,
  createRealPorts,
  parseLogLevel,
  readPrivateFile,
  realDisk,
  type RealPorts,
} from '@mirabelle/runtime'
import { createSegment } from '@mirabelle/segment'
import { readAgentConfig, readAssignment, transportOf, type AgentConfig } from './agent-config.ts'
import { exitStatusOf } from './exit-status.ts'
import { runRoleChangeCommand } from './role-change-command.ts'
import { tidyMemorySoon } from './tidy-memory.ts'
import { VERSION } from './version.ts'

interface Startable {
  start(): Promise<void>
  stop(mode: 'smart' | 'fast' | 'immediate'): Promise<void>
}

/** The last words, for whoever asks why it ended. When they cannot be written the exit status says what it can. */
function say(words: string): void {
  process.stderr.once('error', () => undefined)
  process.stderr.write(`${words}\n`)
}

async function host(ports: RealPorts, config: AgentConfig, assignment: Assignment): Promise<Startable> {
  const common = {
    ports,
    clusterId: config.clusterId,
    assignment,
    engine: createEngine({
      dataDir: assignment.datadir,
      settings: { [CONTENT_SETTING]: String(assignment.content) },
      logger: ports.log.child({ actor: 'engine', dbid: assignment.dbid }),
      setTimer: (ms, fn) => ports.clock.setTimer(ms, fn),
    }),
    processInfo: () => ({ pid: process.pid, rssBytes: process.memoryUsage.rss(), version: VERSION }),
    onEnd: (error: MirabelleError | undefined) => {
      if (error !== undefined) say(error.message)
      ports.flush()
      process.exit(error === undefined ? 0 : exitStatusOf(error))
    },
  }
  if (assignment.content !== COORDINATOR_CONTENT) return createSegment(common)
  // The most code of all, with PostgreSQL's parser: segments start sooner and stay smaller without it. Its standby needs it at a takeover and has it from its start.
  const { Coordinator } = await import('@mirabelle/coordinator')
  return new Coordinator({
    ...common,
    version: VERSION,
    sqlHost: sqlHost(assignment),
    runRoleChangeCommand: (command, facts) =>
      runRoleChangeCommand(command, facts, {
        clock: ports.clock,
        outputFile: `${assignment.datadir}/log/role-change.log`,
      }),
  })
}

/** Clients come to the host's own loopback address when it has no other, to all addresses of a host otherwise. */
function sqlHost(assignment: Assignment): string {
  const loopback = assignment.listen.addresses.every(
    (address) => address === 'localhost' || address === '::1' || address.startsWith('127.'),
  )
  return loopback ? (assignment.listen.addresses[0] ?? '127.0.0.1') : '0.0.0.0'
}

/** The line that a stream consists of; undefined when it ended before its end. */
async function lineOf(stream: NodeJS.ReadableStream): Promise<string | undefined> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text.endsWith('\n') ? text.trimEnd() : undefined
}

async function main(): Promise<void> {
  // What PostgreSQL and the libraries make is nobody else's business either.
  process.umask(0o077)
  const { values } = parseArgs({
    options: { 'host-dir': { type: 'string' }, start: { type: 'string' }, spare: { type: 'boolean' } },
  })
  const hostDir = values['host-dir']
  const spare = values.spare === true
  if (hostDir === undefined || spare === (values.start !== undefined))
    throw new Error('usage: instance-main --host-dir FOLDER (--start FILE | --spare)')
  const startFile = values.start ?? (await lineOf(process.stdin))
  if (startFile === undefined) process.exit(0)
  const config = await readAgentConfig(realDisk, hostDir)
  const assignment = await readAssignment(realDisk, startFile)
  // While it copies its base: a standby coordinator is complete only when it replays. A mirror is in sync before, and needs the processors for that.
  if (assignment.role === 'm' && assignment.content === COORDINATOR_CONTENT) prepareMirror()
  allowFaults(['instance', `dbid${assignment.dbid}`])
  const ports = createRealPorts({
    name: `dbid${assignment.dbid}-content${assignment.content}`,
    level: parseLogLevel(config.logLevel),
    logFile: `${assignment.datadir}/log/mirabelle.log`,
    clusterKey: readPrivateFile(config.keyFile),
    ...transportOf(config),
  })
  process.title = `mirabelle: dbid ${assignment.dbid}, content ${assignment.content}, ${assignment.role === 'p' ? 'primary' : 'mirror'}`
  const hosted = await host(ports, config, assignment)
  const stop = (mode: 'fast' | 'immediate') => {
    hosted.stop(mode).catch((error: unknown) => {
      process.stderr.write(`stop: ${String(error)}\n`)
      process.exit(1)
    })
  }
  process.on('SIGTERM', () => stop('fast'))
  process.on('SIGINT', () => stop('fast'))
  process.on('SIGQUIT', () => stop('immediate'))
  try {
    await hosted.start()
  } catch (error) {
    throw diskFullOr(error, assignment.datadir)
  }
  // Segments have half as many modules.
  if (assignment.content === COORDINATOR_CONTENT) tidyMemorySoon()
}

main().catch((error: unknown) => {
  // `onEnd` has ended the process already when the instance itself could not go on; this is for what came before it.
  say(`instance: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(exitStatusOf(error))
})
