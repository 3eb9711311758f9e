/**
 * Entry of the agent process: `node agent-main.js --dir FOLDER [--attended]`. After a reboot of its host the instances come back by themselves, unless
 * it is attended: then whoever started it starts them. Ends with status 1 when its configuration or port cannot be used.
 */
import { writeFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { allowFaults, createRealPorts, parseLogLevel, readPrivateFile, realDisk } from '@mirabelle/runtime'
import { agentLogFile, pidFile, readAgentConfig, transportOf } from './agent-config.ts'
import { Agent } from './agent.actor.ts'
import { realProcesses } from './process-port.ts'

async function main(): Promise<void> {
  // What PostgreSQL and the libraries make is nobody else's business either.
  process.umask(0o077)
  const { values } = parseArgs({ options: { dir: { type: 'string' }, attended: { type: 'boolean' } } })
  const dir = values.dir
  if (dir === undefined) throw new Error('usage: agent-main --dir FOLDER')
  const config = await readAgentConfig(realDisk, dir)
  allowFaults(['agent', config.hostname])
  const ports = createRealPorts({
    name: `agent-${config.hostname}`,
    level: parseLogLevel(config.logLevel),
    logFile: agentLogFile(dir),
    clusterKey: readPrivateFile(config.keyFile),
    ...transportOf(config),
  })
  const end = () => {
    rmSync(pidFile(dir), { force: true })
    process.exit(0)
  }
  const agent = new Agent({
    ports,
    processes: realProcesses(ports.clock),
    config,
    dir,
    instanceScript: fileURLToPath(new URL('./instance-main.js', import.meta.url)),
    attended: values.attended === true,
    onEnd: end,
  })
  await agent.start()
  writeFileSync(pidFile(dir), `${process.pid}\n`, { mode: 0o600 })
  // Instances outlive the agent: ending it is no reason to end them.
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
}

main().catch((error: unknown) => {
  process.stderr.write(`agent: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
