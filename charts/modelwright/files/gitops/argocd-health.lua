-- The health of TrainingJobs, ModelVersions and Deployments of modelwright.dev, for Argo CD.
-- Only the conditions that sum up are read, so that conditions of later versions change nothing.
local function verdict(status, message)
  return {status = status, message = message or ""}
end

local status = obj.status
if obj.metadata.deletionTimestamp ~= nil then
  return verdict("Progressing", "being deleted")
end
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return verdict("Progressing", "waiting for the operator to look at it")
end

local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

if holds("Stalled") then
  return verdict("Degraded", found.Stalled.message)
end
if holds("Suspended") then
  if status.attempt == nil or status.attempt == 0 then
    return verdict("Healthy", "a template, or a run that waits: " .. found.Suspended.message)
  end
  return verdict("Suspended", found.Suspended.message)
end
if holds("ApprovalRequired") then
  return verdict("Suspended", found.ApprovalRequired.message)
end
if holds("Reconciling") then
  return verdict("Progressing", found.Reconciling.message)
end
if holds("Ready") then
  if found.Ready.reason == "Paused" then
    return verdict("Suspended", found.Ready.message)
  end
  return verdict("Healthy", found.Ready.message)
end
return verdict("Progressing", found.Ready ~= nil and found.Ready.message or "")
