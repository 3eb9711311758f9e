/** Is the catalog true? What it says is compared with the processes, the agents, the folders and the description of the cluster. */
import { existsSync } from 'node:fs'
import type { World } from './world.ts'

/** Sentences about what is not as the catalog says; empty when all is well. Everything must be settled before. */
export async function untruths(world: World): Promise<string[]> {
  const facts = await world.cluster.lookAgain()
  const [rows, state, pids] = [await world.rows(), await (await world.admin()).state(), await world.pids()]
  const found: string[] = []
  for (const row of rows) {
    const now = state.instances.find(({ dbid }) => dbid === row.dbid)
    const wanted = row.role === 'p' ? 'primary' : 'mirror'
    if (!pids.has(row.dbid)) found.push(`dbid ${row.dbid} is in the catalog, and does not run`)
    // A mirror is in sync before its PostgreSQL replays.
    else if (now?.state !== wanted && !(wanted === 'mirror' && now?.state === 'starting'))
      found.push(`dbid ${row.dbid} is ${row.role} in the catalog, and acts as ${now?.state ?? 'nothing'}`)
    const described = facts.rows.find(({ dbid }) => dbid === row.dbid)
    if (described === undefined) found.push(`dbid ${row.dbid} is in the catalog, and not in cluster.json`)
    else if (described.datadir !== row.datadir)
      found.push(
        `dbid ${row.dbid} lies in ${described.datadir} by cluster.json, in ${row.datadir} by the catalog`,
      )
  }
  for (const content of new Set(state.instances.map((one) => one.content))) {
    const pair = state.instances.filter((one) => one.content === content)
    const timelines = new Set(pair.map(({ timeline }) => timeline))
    if (timelines.size > 1 && pair.every((one) => one.state !== 'starting'))
      found.push(`content ${content} is on timelines ${[...timelines].join(' and ')}`)
  }
  for (const problem of state.cluster.problems)
    if (!/preferred as|preferred role/i.test(problem)) found.push(`state says: ${problem}`)
  if (state.cluster.inDoubt > 0) found.push(`${state.cluster.inDoubt} transactions are in doubt`)
  return [...found, ...(await strangers(world))]
}

/** What agents know or run that no row names. The coordinator before an activation keeps its folder, and does not run. */
async function strangers(world: World): Promise<string[]> {
  const named = new Set((await world.rows()).map(({ dbid }) => dbid))
  const found: string[] = []
  for (const { name, agentPort } of world.cluster.facts.hosts) {
    const endpoint = { addresses: ['127.0.0.1'], port: agentPort }
    const { instances } = await world.cluster.ask(endpoint, { type: 'agent.status' })
    for (const { dbid, content, pid, datadir } of instances) {
      if (named.has(dbid)) continue
      if (pid !== null) found.push(`dbid ${dbid} runs on ${name} as pid ${pid}, and is not in the catalog`)
      else if (content >= 0 && existsSync(datadir))
        found.push(`the folder ${datadir} of dbid ${dbid} is left, which is not in the catalog`)
    }
  }
  return found
}
