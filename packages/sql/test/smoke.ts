import { Planner, describePlan } from '../src/index.ts'
import { catalog } from './fixture.ts'
const p = await Planner.create()
for (const q of process.argv.slice(2)) for (const s of p.plan(q, catalog)) console.log(s.sql, '\n   =>', JSON.stringify(s.plan, (k,v)=>k==='table'?v.name:v), describePlan(s.plan).join(' | '))
