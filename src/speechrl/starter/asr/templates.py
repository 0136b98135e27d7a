"""A small grammar of spoken-telephony English: menus, voicemail, numbers, dates, names, addresses, confirmations.

`sentence(rng)` draws one sentence. A template holds slots in braces; a slot is either another rule of `RULES`
or one of the generated kinds of `GENERATED` (numbers and the like), whose words come from num2words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from num2words import num2words

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

_SLOT = re.compile(r"\{(\w+)\}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def number_words(value: int | float, kind: str = "cardinal") -> str:
    """Spell a number as spoken English without hyphens or commas; `kind` is num2words' `to`."""
    return str(num2words(value, to=kind)).replace("-", " ").replace(",", "")


def _digits(rng: random.Random, count: int, group: int = 3) -> str:
    spoken = [number_words(rng.randrange(10)) for _ in range(count)]
    groups = [" ".join(spoken[start : start + group]) for start in range(0, count, group)]
    return ", ".join(groups)


def _phone(rng: random.Random) -> str:
    tail = f"{_digits(rng, 3)}, {_digits(rng, 4, 4)}"
    return tail if rng.random() < 0.5 else f"{_digits(rng, 3)}, {tail}"


def _time(rng: random.Random) -> str:
    hour, minute = (
        rng.randint(1, 12),
        rng.choice([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, rng.randrange(60)]),
    )
    if minute == 0:
        spoken = f"{number_words(hour)} o'clock"
    elif minute < 10:
        spoken = f"{number_words(hour)} oh {number_words(minute)}"
    else:
        spoken = f"{number_words(hour)} {number_words(minute)}"
    return spoken + rng.choice(["", "", " in the morning", " this afternoon", " A M", " P M"])


def _year(rng: random.Random) -> str:
    return number_words(rng.randint(1880, 2035), "year")


def _money(rng: random.Random) -> str:
    dollars, cents = rng.choice([rng.randint(1, 30), rng.randint(1, 2500)]), rng.randint(1, 99)
    spoken = f"{number_words(dollars)} dollar{'s' if dollars > 1 else ''}"
    return (
        spoken if rng.random() < 0.4 else f"{spoken} and {number_words(cents)} cent{'s' if cents > 1 else ''}"
    )


def _number(rng: random.Random) -> str:
    return number_words(rng.choice([rng.randint(2, 20), rng.randint(20, 99), rng.randint(100, 9999), 10**6]))


def _spell(rng: random.Random) -> str:
    return ", ".join(rng.choice(_LETTERS) for _ in range(rng.randint(2, 5)))


def _spelled_name(rng: random.Random) -> str:
    name = rng.choice(RULES["last"])
    return f"{name}, {', '.join(name.upper())}"


GENERATED: dict[str, Callable[[random.Random], str]] = {
    "digit": lambda rng: number_words(rng.randrange(10)),
    "few": lambda rng: number_words(rng.randint(2, 12)),
    "number": _number,
    "decimal": lambda rng: number_words(rng.randint(1, 99) + rng.randint(1, 9) / 10),
    "ordinal": lambda rng: number_words(rng.randint(1, 31), "ordinal"),
    "year": _year,
    "percent": lambda rng: f"{number_words(rng.randint(1, 100))} percent",
    "code": lambda rng: _digits(rng, rng.randint(3, 6)),
    "long_code": lambda rng: _digits(rng, rng.randint(7, 10)),
    "phone": _phone,
    "time": _time,
    "money": _money,
    "house": lambda rng: number_words(rng.randint(1, 999)),
    "spell": _spell,
    "letter": lambda rng: rng.choice(_LETTERS),
    "spelled_name": _spelled_name,
}


def options(text: str) -> tuple[str, ...]:
    """The alternatives of a rule, which bars part."""
    return tuple(part.strip() for part in text.split("|"))


RULES: dict[str, tuple[str, ...]] = {
    "first": options(
        "James|Mary|Robert|Patricia|John|Jennifer|Michael|Linda|David|Elizabeth|William|Barbara|Richard|Susan|Joseph|"
        "Jessica|Thomas|Sarah|Charles|Karen|Daniel|Nancy|Matthew|Lisa|Anthony|Betty|Mark|Sandra|Steven|Ashley|Paul|"
        "Emily|Andrew|Donna|Joshua|Michelle|Kenneth|Carol|Kevin|Amanda|Brian|Melissa|George|Deborah|Edward|Stephanie|"
        "Ronald|Rebecca|Timothy|Laura|Jason|Helen|Jeffrey|Cynthia|Ryan|Amy|Jacob|Angela|Gary|Anna|Nicholas|Ruth|Eric|"
        "Olivia|Stephen|Sophia|Jonathan|Grace|Larry|Alice|Scott|Julia|Frank|Rachel|Peter|Maria|Henry|Diana|Walter|Rosa"
    ),
    "last": options(
        "Smith|Johnson|Williams|Brown|Jones|Miller|Davis|Wilson|Anderson|Taylor|Moore|Jackson|Martin|Lee|Thompson|"
        "White|Harris|Clark|Lewis|Robinson|Walker|Young|Allen|King|Wright|Scott|Hill|Green|Adams|Nelson|Baker|Hall|"
        "Campbell|Mitchell|Carter|Roberts|Turner|Phillips|Parker|Evans|Edwards|Collins|Stewart|Morris|Murphy|Cook|"
        "Rogers|Morgan|Cooper|Peterson|Reed|Bailey|Bell|Kelly|Howard|Ward|Cox|Richardson|Wood|Watson|Brooks|Bennett|"
        "Gray|Hughes|Price|Myers|Long|Foster|Sanders|Ross|Powell|Sullivan|Russell|Fisher|Henderson|Graham|Hamilton"
    ),
    "person": options("{first} {last}|{first}|Mister {last}|Miss {last}|Doctor {last}|Professor {last}"),
    "city": options(
        "Boston|Chicago|Denver|Seattle|Dallas|Houston|Phoenix|Atlanta|Portland|Austin|Miami|Cleveland|London|Paris|"
        "Berlin|Madrid|Dublin|Toronto|Montreal|Sydney|Tokyo|Oxford|Cambridge|Manchester|Glasgow|Rome|Vienna|Lisbon|"
        "Philadelphia|Detroit|Memphis|Baltimore|Sacramento|Pittsburgh|Orlando|Nashville|Buffalo|Richmond|Salt Lake City"
    ),
    "street": options(
        "Maple|Oak|Cedar|Pine|Elm|Washington|Lake|Hill|Park|River|Church|Main|Spring|Mill|Highland|Forest|Jackson|"
        "Franklin|Lincoln|Chestnut|Walnut|Center|Meadow|Sunset|Railroad|Jefferson|Cherry|Garden|Valley|Bridge|Willow"
    ),
    "road": options(
        "{street} Street|{street} Avenue|{street} Road|{street} Lane|{street} Drive|{street} Court"
    ),
    "day": options("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "month": options("January|February|March|April|May|June|July|August|September|October|November|December"),
    "date": options(
        "{month} {ordinal}|{day}, {month} {ordinal}|the {ordinal} of {month}|{month} {ordinal}, {year}|{day}"
    ),
    "when": options(
        "today|tomorrow|this morning|this evening|tonight|on {day}|next {day}|on {date}|at {time}|in {few} days|"
        "by {time}|within {few} hours|next week|at the end of the month|on {day} at {time}|as soon as possible"
    ),
    "company": options(
        "Northern Light|Blue River Bank|Sunrise Travel|Green Valley Clinic|City Water|Metro Gas and Electric|"
        "Harbor Insurance|Silver Lake Hotel|Union Freight|Golden Gate Books|Riverside Dental|Acme Supply|"
        "Pioneer Airlines|Evergreen Garden Center|First Street Pharmacy|Lighthouse Media|Summit Software|"
        "the public library|the county clerk|the university hospital|the museum of science|the local post office"
    ),
    "department": options(
        "sales|billing|technical support|customer service|human resources|shipping|returns|reservations|payroll|"
        "the front desk|the pharmacy|the emergency room|accounts payable|new orders|existing orders|repairs|"
        "marketing|the warehouse|member services|claims|the help desk|admissions|the ticket office|legal affairs|"
        "purchasing|the service center|hours and directions|the research laboratory|the night manager|warranty service"
    ),
    "key": options("{digit}|{digit}|{digit}|{digit}|star|pound|the star key|the pound key|the hash key"),
    "menu_action": options(
        "hear your balance|make a payment|track a package|report a problem|speak with an agent|book an appointment|"
        "cancel a reservation|change your address|request a refund|check the status of your order|hear these choices "
        "again|repeat this menu|go back|return to the previous menu|save this recording|delete this recording|listen "
        "to your messages|skip this message|forward this message to a colleague|send a reply|change your greeting|"
        "record a new greeting|update your phone number|activate your card|report a lost card|leave a callback number|"
        "continue in English|continue in Spanish|join the conference|mute your line|raise the volume|lower the volume|"
        "lock the room|invite another guest|end this call|start over|confirm your booking|choose another date|"
        "hear more options|transfer to an extension|set a reminder|turn call waiting on|turn forwarding off|"
        "refill a prescription|reach a nurse|hear today's schedule|accept the charges|block this caller|"
        "register a new device|reset your password|mark this message as private|schedule a delivery"
    ),
    "code_kind": options(
        "account number|password|extension|pin|order number|zip code|date of birth|phone number|area code|membership "
        "number|confirmation code|security code|card number|access code|employee number|policy number|meter reading|"
        "booking reference|mailbox|room number|flight number|verification code|tracking number"
    ),
    "thing": options(
        "call|message|order|payment|reservation|appointment|account|package|request|password|recording|subscription|"
        "greeting|extension|connection|conference|application|claim|ticket|refund|delivery|mailbox|prescription|"
        "transfer|profile|file|backup|update|printer|server|network|channel|queue|line|device|battery|microphone|"
        "headset|door|alarm|invoice|contract|library card|membership|flight|train|bus|hotel room|rental car|meeting"
    ),
    "done": options(
        "received|confirmed|cancelled|changed|saved|deleted|sent|approved|rejected|updated|delayed|transferred|"
        "completed|activated|suspended|scheduled|moved|recorded|restored|closed|opened|archived|forwarded|accepted|"
        "locked|unlocked|disconnected|reset|registered|removed|processed|shipped|delivered|returned|postponed"
    ),
    "state": options(
        "ready|busy|not available|available|full|empty|on hold|offline|online|out of service|in progress|too short|"
        "too long|unknown|closed|open|on time|running late|not valid|almost done|already in use|not working|"
        "no longer active|being processed|temporarily unavailable|waiting for you|free of charge|up to date"
    ),
    "noun": options(
        "coffee|tea|milk|bread|soup|salad|pizza|sandwich|apple|orange|window|garden|kitchen|bicycle|car|truck|camera|"
        "radio|television|computer|keyboard|telephone|letter|newspaper|book|ticket|umbrella|jacket|shoe|watch|lamp|"
        "table|chair|mirror|guitar|piano|violin|hammer|ladder|bucket|blanket|candle|basket|bottle|key|map|stamp|monkey"
    ),
    "product": options(
        "{noun}|wireless headphones|laptop charger|running shoes|winter coat|coffee maker|desk lamp|phone case|"
        "garden hose|electric kettle|leather wallet|travel mug|alarm clock|paper towels|printer paper|water filter|"
        "dog food|hand soap|light bulbs|picture frame|kitchen scale|memory card|yoga mat|tool box|baby monitor"
    ),
    "polite": options("Please|Kindly|Would you please|Could you|You may now|If you wish, you can"),
    "weather": options("sunny|cloudy|rainy|windy|foggy|stormy|cold|warm|snowy|humid|dry|mild|freezing|hot"),
    "room": options(
        "kitchen|bedroom|living room|bathroom|garage|hallway|office|basement|attic|porch|dining room|garden|nursery"
    ),
    "menu": options(
        "For {department}, press {key}.|To {menu_action}, press {key}.|Press {key} to {menu_action}.|"
        "For {department}, press {digit}. For {department}, press {digit}.|Press {key} for {department}.|"
        "To {menu_action}, say yes or press {key}. Otherwise, press {key}.|If you would like to {menu_action}, press "
        "{key} now.|Press {digit} to {menu_action}, or {digit} to {menu_action}.|Dial {digit} to {menu_action}.|"
        "Press {digit} to {menu_action}, press {digit} to {menu_action}, or press {key} to {menu_action}.|"
        "To reach {department}, dial extension {code}.|Press any key to {menu_action}.|You pressed {key}.|"
        "Say {department}, or press {key}.|For {department}, stay on the line.|To {menu_action}, wait for the tone."
    ),
    "prompt": options(
        "{polite} enter the {code_kind}.|{polite} say your {code_kind}, followed by {key}.|Enter the {code_kind} now.|"
        "That {code_kind} is not correct. Try again.|The {code_kind} you entered is {long_code}.|"
        "Sorry, I did not get your {code_kind}.|{polite} repeat the {code_kind}, one digit at a time.|"
        "What is your {code_kind}?|{polite} hold while we check your {code_kind}.|Your new {code_kind} is {code}.|"
        "We could not find that {code_kind}.|When you are finished, press {key}.|{polite} say the name of the city."
    ),
    "status": options(
        "Your {thing} has been {done}.|The {thing} was {done} {when}.|Your {thing} is {state}.|The {thing} is {state}.|"
        "Your {thing} will be {done} {when}.|The {thing} could not be {done}.|This {thing} cannot be {done} {when}.|"
        "{thing} {done}.|{thing} {state}.|No {thing} was {done}.|One {thing} is {state}.|All {thing}s are {state}.|"
        "Has the {thing} been {done}?|Is the {thing} {state}?|The {thing} you asked for is {state}.|"
        "Sorry, your {thing} was not {done}. Call us again {when}.|Thank you, the {thing} has now been {done}."
    ),
    "voicemail": options(
        "Hi, this is {person}. I am calling about the {thing}. Call me back at {phone}.|"
        "You have {few} new and {few} old messages.|Message {few}, received {date} at {time}.|"
        "Hello, you have reached {person} at {company}.|I am away from my desk until {date}.|"
        "Message from {phone}.|The caller at {phone} left no message.|End of message {few}.|"
        "Leave your name and number, and {person} will call you {when}.|This is {person} from {company}.|"
        "Sorry I missed your call. I will be back {when}.|{person}, your {thing} is {state}.|"
        "Your mailbox is {percent} full.|There is one urgent message from {person}.|Next saved recording, {date}."
    ),
    "queue": options(
        "Welcome to {company}.|Thank you for calling {company}. How may we help you today?|"
        "You are number {few} in line.|The wait is about {few} minutes.|All of our agents are helping others.|"
        "This call is being recorded.|One moment, connecting you with {department}.|Transferring to {department}.|"
        "Our office hours are {time} to {time}, {day} through {day}.|We are closed on {day}.|"
        "There are {few} callers ahead of you.|Your call will be answered in about {few} minutes.|"
        "Nobody in {department} can take your call. Try again {when}.|{company} is closed {when}.|"
        "{few} people are in the conference.|{person} has joined the call.|{person} has left the call.|"
        "You are the first person on this line.|The meeting begins {when}.|{person} is speaking on another line."
    ),
    "figure": options(
        "{number}.|{number}|{decimal}|{code}|{long_code}|{phone}|The number is {number}.|Dial {phone}.|{percent}|"
        "The total comes to {money}.|{money}|You owe {money}.|Your balance is {money}.|My number is {phone}.|"
        "The temperature is {number} degrees.|{decimal} miles|{few} hours and {few} minutes|{number} seconds|"
        "Version {decimal}|Extension {code}|Channel {few} of {few}|Page {number}|Room {code}|Flight {code}|"
        "Gate {letter} {few}|Platform {few}|Minus {number}|{number} kilometers per hour|{ordinal}|the {ordinal}|"
        "{number} point {digit}|{number} times {few}|{few} plus {few} is {few}|Line {few} is {state}.|Lot {letter}"
    ),
    "calendar": options(
        "{date}|{date}|{time}|{time}, {date}|It is {time}.|The time is now {time}.|Today is {date}.|"
        "The store opens at {time} and closes at {time}.|See you {when}.|We will meet {when}.|{day} {time}|"
        "The train to {city} leaves at {time} from platform {few}.|She was born on {month} {ordinal}, {year}.|"
        "In {year}, {person} moved to {city}.|It happened in {month} {year}.|The concert is on {date} at {time}.|"
        "Your next visit with {person} is {when}.|Remind me {when} to call {person}.|{few} {day}s ago|{year}"
    ),
    "address": options(
        "{house} {road}|{house} {road}, {city}|I live at {house} {road} in {city}.|"
        "Send it to {house} {road}, {city}.|"
        "Turn left on {road}.|Turn right onto {road}, then drive {few} miles.|The office is on {road}.|"
        "Take the next exit to {city}.|The distance to {city} is {number} miles.|"
        "Ship this to {person}, {house} {road}.|"
        "Is {road} far from here?|Meet {first} at the corner of {road} and {road}.|Apartment {few} {letter}, {road}"
    ),
    "names": options(
        "{person}|{first} {last}|Call {person}.|May I speak with {person}?|{person} and {person}|{spelled_name}.|"
        "My name is {first}.|My last name is {spelled_name}.|Is {person} there?|Ask {person} about the {thing}.|"
        "The code is {spell}.|{spell}|{letter}|{letter} as in {first}|{spell}, {digit}, {digit}|That is {spell}.|"
        "{person} works in {department}.|{person} will meet {person} {when}.|Where is {person}?|{city}|{company}"
    ),
    "confirm": options(
        "Yes, that is right.|No, that is wrong.|Yes please.|No thank you.|Did you say {number}?|You said {date}. Is "
        "that right?|Are you sure?|Is {phone} correct?|I did not hear you.|Say it again, please.|Okay, {when} then.|"
        "That is correct.|I heard {person}.|You chose {department}.|Sure, go ahead.|Not {when}, but {when}.|"
        "Sorry, could you say that again?|Thanks, {first}.|Great, see you {when}.|Goodbye, and thanks for calling "
        "{company}.|Hello, {first}.|Good morning, {person}.|Good evening, and welcome to {company}.|Never mind.|"
        "Just a moment.|One moment, {person}.|Of course.|I would like the {product}.|Do you mean {city} or {city}?|"
        "Let me check.|Not at the moment.|Sounds good.|That will be {money}.|How much is the {product}?|Try {few}."
    ),
    "command": options(
        "Turn on the {room} light.|Turn off the {room} heater.|Set a timer for {few} minutes.|Play the next song.|"
        "Add {product} to my list.|Wake me at {time}.|What is the weather in {city} {when}?|Open the {room} window.|"
        "Lock the {room} door.|Call {person} {when}.|Send a message to {person}.|Read my last message.|Stop.|"
        "Set the {room} to {number} degrees.|Order {few} {noun}s.|Find a hotel in {city}.|Stop the music.|"
        "Show me flights to {city} on {date}.|Turn the volume up to {percent}.|Cancel my {thing} {when}."
    ),
    "talk": options(
        "It will be {weather} in {city} {when}.|Expect a {weather} night and a {weather} morning.|"
        "We sold {number} of them in {month}.|The {product} costs {money}.|I lost my {noun} in {city}.|"
        "Can I return the {product} {when}?|My {thing} is {state}, what should I do?|"
        "I paid {money} for this {product}.|"
        "The {noun} on the {room} table belongs to {person}.|Have you seen my {noun}?|"
        "Please bring the {product} {when}.|"
        "About {percent} of the people in {city} have a {noun}.|The {thing} from {city} is {state}.|"
        "{person} bought a {noun} for {money}.|Prices rose by {percent} in {year}.|I need a {noun} and a {product}.|"
        "There is a {noun} in the {room}.|They carried the {noun} away {when}.|Put the {noun} next to the {noun}."
    ),
    "sentence": options(
        "{menu}|{menu}|{menu}|{prompt}|{prompt}|{status}|{status}|{status}|{voicemail}|{voicemail}|{queue}|{queue}|"
        "{figure}|{figure}|{calendar}|{calendar}|{address}|{names}|{names}|{confirm}|{command}|{talk}|{talk}|"
        "{status} {menu}|{prompt} {menu}|{queue} {menu}|{confirm} {status}|{queue} {prompt}"
    ),
}


def expand(
    template: str,
    rng: random.Random,
    rules: Mapping[str, Sequence[str]] = RULES,
    generated: Mapping[str, Callable[[random.Random], str]] = GENERATED,
) -> str:
    """Fill every slot of `template`, drawing from `rng`.

    Raises:
        KeyError: a slot that is neither a rule nor a generated kind.
    """

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in generated:
            return generated[name](rng)
        return expand(rng.choice(rules[name]), rng, rules, generated)

    return _SLOT.sub(fill, template)


def sentence(rng: random.Random) -> str:
    """Draw one sentence of spoken-telephony English, first letter upper-case, no digits."""
    drawn = expand("{sentence}", rng)
    return drawn[0].upper() + drawn[1:]
