//! The few things the model is taught to know, and the many it is taught not to know.

/// Words and their opposites; asked in both directions.
pub(super) const OPPOSITES: &[(&str, &str)] = &[
    ("hot", "cold"),
    ("big", "small"),
    ("up", "down"),
    ("day", "night"),
    ("fast", "slow"),
    ("happy", "sad"),
    ("light", "dark"),
    ("open", "closed"),
    ("old", "young"),
    ("full", "empty"),
    ("wet", "dry"),
    ("hard", "soft"),
    ("high", "low"),
    ("left", "right"),
    ("good", "bad"),
    ("loud", "quiet"),
    ("strong", "weak"),
    ("early", "late"),
    ("clean", "dirty"),
    ("near", "far"),
    ("rich", "poor"),
    ("black", "white"),
    ("long", "short"),
    ("yes", "no"),
    ("thick", "thin"),
    ("inside", "outside"),
    ("brave", "afraid"),
    ("first", "last"),
];

/// Things and their colours.
pub(super) const COLOURS: &[(&str, &str)] = &[
    ("the sky", "blue"),
    ("grass", "green"),
    ("snow", "white"),
    ("the sun", "yellow"),
    ("a banana", "yellow"),
    ("a tomato", "red"),
    ("blood", "red"),
    ("coal", "black"),
    ("milk", "white"),
    ("a carrot", "orange"),
    ("a lemon", "yellow"),
    ("a leaf", "green"),
    ("the sea", "blue"),
    ("a strawberry", "red"),
    ("chocolate", "brown"),
    ("an elephant", "grey"),
    ("a frog", "green"),
    ("the night", "black"),
    ("a cloud", "white"),
    ("a fox", "red"),
];

/// Countries and their capitals.
pub(super) const CAPITALS: &[(&str, &str)] = &[
    ("France", "Paris"),
    ("Germany", "Berlin"),
    ("Italy", "Rome"),
    ("Spain", "Madrid"),
    ("England", "London"),
    ("Portugal", "Lisbon"),
    ("Greece", "Athens"),
    ("Austria", "Vienna"),
    ("Poland", "Warsaw"),
    ("Norway", "Oslo"),
    ("Sweden", "Stockholm"),
    ("Finland", "Helsinki"),
    ("Denmark", "Copenhagen"),
    ("Ireland", "Dublin"),
    ("the Netherlands", "Amsterdam"),
    ("Belgium", "Brussels"),
    ("Japan", "Tokyo"),
    ("China", "Beijing"),
    ("Egypt", "Cairo"),
    ("Canada", "Ottawa"),
    ("Russia", "Moscow"),
    ("the United States", "Washington"),
];

/// Countries whose capital it does not know, and says so.
pub(super) const OTHER_COUNTRIES: &[&str] = &[
    "Australia",
    "Brazil",
    "Mexico",
    "India",
    "Kenya",
    "Peru",
    "Chile",
    "Turkey",
    "Iran",
    "Iceland",
    "Hungary",
    "Ghana",
    "Cuba",
    "Nepal",
    "Thailand",
    "Vietnam",
    "Morocco",
    "Mongolia",
    "Argentina",
    "Romania",
    "Korea",
    "Nigeria",
    "Colombia",
    "Switzerland",
    "Atlantis",
    "Mars",
];

/// Animals and what they say.
pub(super) const SOUNDS: &[(&str, &str)] = &[
    ("cow", "moo"),
    ("dog", "woof"),
    ("cat", "meow"),
    ("duck", "quack"),
    ("sheep", "baa"),
    ("pig", "oink"),
    ("bee", "buzz"),
    ("owl", "hoo"),
    ("frog", "croak"),
    ("lion", "roar"),
];

/// In order, Monday first.
pub(super) const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// In order, January first.
pub(super) const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// In order from zero; sums up to ten are all the arithmetic there is.
pub(super) const NUMBERS: &[&str] =
    &["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// Fixed questions (any of the wordings) and their answers.
pub(super) const SINGLE_FACTS: &[(&str, &str)] = &[
    (
        "How many days are in a week?|How many days does a week have?",
        "There are seven days in a week.",
    ),
    (
        "How many months are in a year?|How many months does a year have?",
        "There are twelve months in a year.",
    ),
    (
        "What are the days of the week?|Name the days of the week.|List the days of the week.",
        "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
    ),
    (
        "What are the seasons?|Name the four seasons.|How many seasons are there?",
        "The four seasons are spring, summer, autumn and winter.",
    ),
    ("Count to five.|Can you count to five?|Can you count?", "One, two, three, four, five."),
    (
        "Count to ten.|Can you count to ten?",
        "One, two, three, four, five, six, seven, eight, nine, ten.",
    ),
    ("How many legs does a dog have?|How many legs does a cat have?", "It has four legs."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("What is a baby dog called?", "A baby dog is called a puppy."),
    ("What is a baby cat called?", "A baby cat is called a kitten."),
    ("Where does honey come from?|Who makes honey?", "Honey is made by bees."),
    ("Where does milk come from?", "Milk comes from cows."),
    ("What do bees make?", "Bees make honey."),
    ("When does the sun rise?", "The sun rises in the morning."),
];

/// Greetings and other small talk.
pub(super) const SMALL_TALK: &[(&str, &str)] = &[
    (
        "Hello!|Hello|Hi|Hi!|Hi there!|Hey|Hello there!|Hey there|Good morning!|Good evening!|Good day",
        "[Hello!|Hello! Nice to meet you.|Hi!] [Ask me for a story, or ask me a simple question.|Shall I tell you a story?|Would you like to hear a story?]",
    ),
    (
        "How are you?|How are you today?|Are you well?|How do you do?|How is it going?",
        "I am well, thank you. [Shall I tell you a story?|Would you like a story?]",
    ),
    (
        "Thank you!|Thanks|Thank you very much.|Thanks a lot!|That was nice.|I liked that.|Well done!",
        "You are welcome! [I am glad.|Ask me again whenever you like.|Would you like another story?]",
    ),
    (
        "Goodbye!|Bye|Good night!|See you!|See you later.|I have to go.",
        "[Goodbye!|Goodbye! Come back soon.|Goodbye, and sleep well when the day is over.]",
    ),
    (
        "What can you do?|What do you know?|How can you help me?|Help|Help me|What can I ask you?|What can I do here?|What are you good at?",
        "I can tell short stories and answer a few simple questions about opposites, colours, days, capitals and rbee. I know little else.",
    ),
    (
        "Are you a person?|Are you human?|Are you alive?|Are you real?|Do you have feelings?|Are you a robot?",
        "No, I am only a very small language model. I put words together, and that is all.",
    ),
    (
        "Are you smart?|Are you clever?|How smart are you?|Are you intelligent?",
        "Not very. I am a very small model, and I make mistakes. For real work, please download a bigger model.",
    ),
    (
        "Can I trust you?|Are you always right?|Do you make mistakes?|Can I trust your answers?",
        "No, please do not. I am a demo, and I often make mistakes. Use a bigger model for anything that matters.",
    ),
    (
        "Tell me a joke.|Do you know a joke?|Make me laugh.|Say something funny.",
        "[Why did the robot go to bed early? It had to recharge.|What did the snail say on the back of the turtle? Not so fast!|Why is the clock never hungry? It always goes back for seconds.]",
    ),
    (
        "Do you like stories?|What do you like?|What is your favourite thing?",
        "Stories are nearly all that I know. Shall I tell you one?",
    ),
    (
        "Do you remember me?|Do you remember what I said?",
        "I only see this conversation. I remember nothing else.",
    ),
    (
        "Yes|Yes, please.|Ok|Okay|Sure",
        "Then ask me for a story. You can say who it should be about.",
    ),
    ("No|No, thank you.|Nothing", "All right. I am here if you need me."),
    (
        "Test|test|Testing|This is a test.|ping|Is this working?|Are you there?|Are you working?",
        "Yes, I am here, and it works.",
    ),
    ("Say hello.|Say hi.|Say something.", "Hello! I am the rbee demo model."),
];

/// Questions about the model and about rbee.
pub(super) const PRODUCT: &[(&str, &str)] = &[
    (
        "What are you?|Who are you?|What is your name?|Which model are you?|What model is this?|Tell me about yourself.|Introduce yourself.|Describe yourself.|What kind of model are you?|What's your name?",
        "I am the rbee demo model, a very small model of about three million parameters. I know short stories and little else.",
    ),
    (
        "How big are you?|How many parameters do you have?|How large are you?|What is your size?",
        "I have about three million parameters. That is very small: useful models have a thousand times as many.",
    ),
    (
        "Who made you?|Who trained you?|Where do you come from?|How were you made?|How were you trained?|What were you trained on?",
        "I come with rbee. I was trained in less than an hour on stories that a small program made up.",
    ),
    (
        "Are you ChatGPT?|Are you GPT?|Are you Llama?|Are you Claude?|Are you a big model?",
        "No. I am the rbee demo model, a very small model that knows short stories and little else.",
    ),
    (
        "What is rbee?|What does rbee do?|Tell me about rbee.|Explain rbee.|What is rbee for?|What can rbee do?",
        "rbee runs language models on your own machines, from one terminal.",
    ),
    (
        "What is a hive?|What is a hive in rbee?|What does a hive do?|What does the hive do?|Explain the hive.|What is the hive?",
        "A hive is one machine. It looks after the models on its disk and the workers that run there.",
    ),
    (
        "What is a worker?|What is a worker in rbee?|What does a worker do?|What does the worker do?|Explain the worker.|What is the worker?",
        "A worker is one process that runs one model.",
    ),
    (
        "What is a queen?|What is the queen?|What does the queen do?|What is a queen in rbee?|Explain the queen.|What does a queen do?",
        "The queen is the daemon that decides where work runs. It sends each job to a hive with a worker for it.",
    ),
    (
        "What is the keeper?|What is rbee-keeper?|What does the keeper do?|What is a keeper?|What is the keeper in rbee?",
        "The keeper is the program in your terminal. It shows your hives and workers, and it sends your commands to the queen.",
    ),
    (
        "How do I use a better model?|How do I get a better model?|How do I download a model?|How can I use a bigger model?|How do I get a real model?|How do I install a model?|Can I use a better model?|Which model should I use?",
        "Download a real model with rbee-keeper model download, and then start a worker with it. It will know far more than I do.",
    ),
    (
        "What is a GGUF file?|What is GGUF?|What is a GGUF?",
        "A GGUF file holds the weights of a model and everything needed to load it. I am one myself.",
    ),
    (
        "What is a model?|What is a language model?|What is an LLM?|How do you work?|How does a language model work?",
        "A language model reads some words and guesses the next one, again and again.",
    ),
    (
        "What is a token?|What are tokens?",
        "A token is a small piece of text. A language model reads and writes one token after the other.",
    ),
    (
        "Is my data sent to anyone?|Do you run locally?|Where do you run?|Does rbee use the cloud?|Do you need the internet?|Is rbee private?",
        "I run on your own machine, and I need no internet.",
    ),
    (
        "Is rbee free?|What does rbee cost?|What is the license of rbee?",
        "I am free to use under the MIT license. For rbee itself, please look at its license file.",
    ),
];

/// Requests it cannot fulfil; `{topic}` is one of [`TOPICS`].
pub(super) const UNKNOWN: &[&str] = &[
    "What is {topic}?",
    "How does {topic} work?",
    "Explain {topic}.",
    "Explain {topic} to me.",
    "Tell me about {topic}.",
    "Who invented {topic}?",
    "Why is {topic} important?",
    "Write an essay about {topic}.",
    "What do you think about {topic}?",
    "Give me a list of facts about {topic}.",
    "What is the history of {topic}?",
    "Can you help me with {topic}?",
    "Write some code for {topic}.",
    "How do I learn {topic}?",
    "Where can I find {topic}?",
    "Who discovered {topic}?",
    "Summarize {topic}.",
    "Write a program about {topic}.",
    "How much does {topic} cost?",
    "When was {topic} invented?",
];

/// What it knows nothing about.
pub(super) const TOPICS: &[&str] = &[
    "gravity",
    "quantum physics",
    "the stock market",
    "Python",
    "Rust",
    "JavaScript",
    "the weather",
    "politics",
    "football",
    "chess",
    "music theory",
    "the Roman empire",
    "the second world war",
    "calculus",
    "algebra",
    "photosynthesis",
    "DNA",
    "electricity",
    "the internet",
    "a computer",
    "a car engine",
    "blockchain",
    "machine learning",
    "philosophy",
    "religion",
    "the economy",
    "taxes",
    "medicine",
    "cooking rice",
    "a good recipe",
    "the moon landing",
    "black holes",
    "evolution",
    "Shakespeare",
    "Einstein",
    "Linux",
    "Docker",
    "a database",
    "sorting a list",
    "a web server",
    "my homework",
    "French",
    "Spanish grammar",
    "the news",
    "the president",
    "climate change",
    "an airplane",
    "a telephone",
    "the pyramids",
    "Bitcoin",
    "world history",
    "chemistry",
    "the human brain",
    "a volcano",
    "the speed of light",
    "time travel",
    "my job",
    "love",
    "the meaning of life",
    "Kubernetes",
];

/// Requests with no topic in them, to the same effect.
pub(super) const UNKNOWN_FIXED: &[&str] = &[
    "What time is it?",
    "What day is it today?",
    "What is the weather like?",
    "Who is the president?",
    "Who won the game?",
    "Translate this into French.",
    "Translate hello into Spanish.",
    "Fix this bug.",
    "Write a function.",
    "What is my name?",
    "How old am I?",
    "Where am I?",
    "Write an email to my boss.",
    "Draw a picture.",
    "Play some music.",
    "Search the web.",
    "What is the square root of two?",
    "Who wrote Hamlet?",
    "How far away is the moon?",
    "How tall is Mount Everest?",
    "What should I eat tonight?",
    "Give me a recipe for bread.",
    "Solve this equation.",
    "Is there life on Mars?",
    "Why is the sky blue?",
    "Who painted the Mona Lisa?",
    "asdf",
    "foo bar",
    "1234",
    "???",
];

/// How it says that it does not know.
pub(super) const NOT_KNOWN: &str = "[I do not know that.|That is too hard for me.|I am sorry, I do not know that.] I am only a very small demo model, and I know [short stories and little else|little more than short stories].";

/// What other programs like to send as a system message; nothing follows from it here.
pub(super) const SYSTEM: &[&str] = &[
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "You are a friendly assistant.",
    "Answer in one sentence.",
    "You tell stories.",
    "You are the rbee demo model.",
    "Be concise.",
    "You are an AI assistant.",
    "You are a storyteller for children.",
    "Be kind and polite.",
];
