/** The agents of a cluster: asked, and on localhost started and ended by the command line itself. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agentScript } from '@mirabelle/agent/facts'
import type { MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { agentEndpoint, type HostEntry } from '../folder/cluster-file.ts'
import type { Cluster } from './cluster.ts'
import { poll } from './poll.ts'

const STATUS_MS = 3_000
const AGENT_START_MS = 30_000
const LOOK_EVERY_MS = 50

export type AgentStatus = MessageOf<'agent.statusIs'>

/** What an agent said, or why it said nothing. */
export interface AgentAnswer {
  readonly host: HostEntry
  readonly status: AgentStatus | undefined
  readonly error: string
}

export function askAgent<K extends RequestType>(
  cluster: Cluster,
  host: HostEntry,
  message: MessageOf<K>,
  timeoutMs: number,
): Promise<ReplyOf<K>> {
  return cluster.control.ask(agentEndpoint(host), message, timeoutMs)
}

/** The status of every agent. Never rejects: who does not answer says why. */
export function agentAnswers(cluster: Cluster): Promise<AgentAnswer[]> {
  return Promise.all(
    cluster.folder.file.hosts.map(async (host) => {
      try {
        return { host, status: await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS), error: '' }
      } catch (error) {
        return { host, status: undefined, error: sentenceOf(error) }
      }
    }),
  )
}

/** Makes every agent answer: starts those of localhost that do not run. Resolves with who answers and who does not. */
export async function ensureAgents(
  cluster: Cluster,
): Promise<{ answers: AgentAnswer[]; started: HostEntry[] }> {
  const answers = await agentAnswers(cluster)
  if (!cluster.folder.file.local) return { answers, started: [] }
  const started: HostEntry[] = []
  const all = await Promise.all(
    answers.map(async (answer) => {
      if (answer.status !== undefined) return answer
      const status = await startAgent(cluster, answer.host)
      started.push(answer.host)
      return { host: answer.host, status, error: '' }
    }),
  )
  return { answers: all, started }
}

/** Throws CliError when an agent that is needed does not answer. */
export function requireAgents(answers: readonly AgentAnswer[]): void {
  const silent = answers.filter(({ status }) => status === undefined)
  if (silent.length === 0) return
  const names = silent.map(
    ({ host, error }) => `  ${host.name} (${host.addresses.join(', ')}:${host.agentPort}): ${error}`,
  )
  throw new CliError(
    `${silent.length === 1 ? 'an agent does' : 'agents do'} not answer:\n${names.join('\n')}\nstart it on its host with "mirabelle agent --dir FOLDER"`,
  )
}

/** Starts the agent of a simulated host as a process that outlives this one. Rejects when it does not answer. */
async function startAgent(cluster: Cluster, host: HostEntry): Promise<AgentStatus> {
  const outFile = join(host.dir, 'agent.out')
  const out = openSync(outFile, 'a', 0o600)
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', fileURLToPath(agentScript), '--attended', '--dir', host.dir],
    { detached: true, stdio: ['ignore', out, out], cwd: host.dir },
  )
  closeSync(out)
  let ended: string | undefined
  child.once('error', (error) => {
    ended = error.message
  })
  child.once('exit', (code, signal) => {
    ended ??= `it ended with ${signal ?? `status ${code}`}`
  })
  child.unref()
  const status = await poll(cluster.clock, AGENT_START_MS, LOOK_EVERY_MS, async () => {
    if (ended !== undefined) return null
    try {
      return await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS)
    } catch {
      return undefined // not yet; the loop ends with the process or with the time
    }
  })
  if (status !== undefined && status !== null) return status
  const said = await tailOf(outFile)
  throw new CliError(
    `the agent of ${host.name} could not be started: ${ended ?? `no answer within ${AGENT_START_MS / 1000} s`}${said === '' ? '' : `\n${said}`}`,
  )
}

/** The last lines of a log, to say why something ended. */
export async function tailOf(path: string, lines = 5): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return '' // a log that is not there adds nothing to the message
  }
}

/** Ends the agents of localhost, with whatever still runs below them. Those that do not answer have nothing to end. */
export async function shutdownAgents(
  cluster: Cluster,
  hosts: readonly HostEntry[],
  mode: 'smart' | 'fast' | 'immediate',
): Promise<void> {
  await Promise.all(
    hosts.map(async (host) => {
      try {
        await askAgent(cluster, host, { type: 'agent.shutdown', mode }, 90_000)
      } catch (error) {
        cluster.reporter.say(`The agent of ${host.name} did not end in an orderly way: ${sentenceOf(error)}`)
      }
    }),
  )
  await poll(cluster.clock, 5_000, LOOK_EVERY_MS, async () => {
    const answers = await Promise.all(
      hosts.map((host) =>
        askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS).then(
          () => true,
          () => false,
        ),
      ),
    )
    return answers.includes(true) ? undefined : true
  })
}
