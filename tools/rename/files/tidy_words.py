# The old private words, and what they are called now (docs/glossary.md). Distinctive identifiers only.
OLD_WORDS = {
    "Slot": "WorkerId", "SlotSet": "WorkerSet", "kSlotsMax": "kWorkersMax", "FrameSlot": "FrameAssignment", "KvPlace": "KvSlot",
    "Lane": "ThreadSlice", "Lanes": "ThreadTeam", "SoloLanes": "SoloTeam",
    "Stay": "PlacedSequence", "Understudy": "MigrationTarget", "understudy": "migration_target", "Lodging": "WorkerChoice",
    "Lodge": "AssignSequence", "FindHome": "ChooseWorker", "HomeOffer": "WorkerCandidate", "HomeAt": "PlannerWorkerAt",
    "PlannedRow": "InFlightChunk", "PlannedPart": "InFlightWorkerStep", "PlannedStep": "InFlightStep", "Lack": "RequestStage",
    "Outgrown": "FillsWholePool", "MovePace": "MigrationPace", "PutDown": "ReleaseSequences", "Nonsense": "Invalid",
    "kNonsense": "kInvalid", "Aside": "StagedEpoch", "LoadAside": "StageExperts", "LoadedAside": "ExpertsStaged",
    "ConnectAside": "StageExchange", "ConnectedAside": "ExchangeStaged", "DropAside": "DiscardStaged",
    "ChangeOver": "StagedReconfiguration", "Cast": "EpochProposal", "Formation": "PrepareRound", "Pulse": "WorkerHealth",
    "JudgePulses": "FindSuspects", "few_tried": "tried_with_fewer_workers", "placement_rough": "placement_is_repair",
    "hello_last": "last_join_at", "blocks_short": "drain_blocked_until_blocks_below", "breaks_without_step": "consecutive_failed_steps",
    "StepAsk": "StepRequest", "ClientAsk": "RequestParams", "ClientAsked": "RequestArrived", "LeaveAsked": "LeaveRequested",
    "DrainAsked": "DrainRequested", "Told": "FromCoordinator", "TellWorker": "SendToWorker", "TellClient": "SendToClient",
    "TellAdmin": "AnswerAdmin", "WorkerSaid": "WorkerMessage", "Switchboard": "StreamRegistry", "AdminDesk": "AdminRequests",
    "LastWords": "FlightRecord", "Ear": "HeardPeers", "TameProcessWideHabits": "RestoreSignalHandlersAndLogging",
    "Deed": "Fault", "DeedKind": "FaultKind", "Tormentor": "FaultInjector", "Stranger": "RejectedJoiner", "Bury": "Reap",
    "Epitaph": "ExitDescription", "mourned": "exit_reported", "evidence_wait": "failure_grace", "wedge_limit": "stall_timeout",
}
OLD = re.compile(r"\b(" + "|".join(OLD_WORDS) + r")\b")
LIMIT = re.compile(r"\bMicros (\w+_limit)\b")
# Phrases whose sentence has lost its subject or its number.
PHRASES = re.compile(r"\b(so long|so many|who goes|whoever|likewise|is there no more|of these,)", re.I)


def check_words(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        for word in OLD.findall(line):
            yield f"{path}:{number}: {word} is called {OLD_WORDS[word]}: docs/glossary.md"
        if match := LIMIT.search(line):
            yield f"{path}:{number}: {match.group(1)} is a duration: call it a timeout"
        comment = line if path.endswith(".md") else "".join(re.findall(r"(?://|#)(.*)$", line))
        if match := PHRASES.search(comment):
            yield f"{path}:{number}: '{match.group(1)}': say what, with a subject and a number"


